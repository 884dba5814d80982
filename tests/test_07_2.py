"""Notebook 07.2: emoticons, measures, networks, and how they are combined."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import book


@pytest.fixture(scope="module")
def nb():
    module = book.definitions("07.2")
    module.vocabulary = {"you": 2, "so": 3, "?!": 4}
    module.right = {"valid": np.array([0, 1, 2, 0]), "test": np.array([0, 1, 2, 0])}
    return module


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("haha I love it", ("😄", "I love it")),
        ("hahaha, that was good.", ("🤣", "that was good")),
        ("see you there ;-)", ("😉", "see you there")),
        ("XD no way", ("😆", "no way")),
        ("I missed it :'(((", ("🙁", "I missed it")),
        ("that is great :D", ("😃", "that is great")),
        ("ok then :P", ("😛", "ok then")),
        ("not so sure :/", ("😕", "not so sure")),
        ("LOL you are right", ("😂", "you are right")),
        ("good for you :))", ("🙂", "good for you")),
    ],
)
def test_an_emoticon_becomes_its_emoji(nb, message, expected):
    assert nb.labelled(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        "no emoticon here",
        "two of them :) :(",
        "lol",
        "haha ok",
        "aloha from the beach",
        "at 10:30 we meet",
        "http://a.org/x",
    ],
)
def test_other_messages_have_no_label(nb, message):
    assert nb.labelled(message) is None


@given(message=st.text())
def test_no_text_is_too_strange(nb, message):
    found = nb.labelled(message)
    assert found is None or (found[0] in nb.EMOJI and found[1] and len(found[1]) < len(message))


def test_tweets_are_bared(nb):
    assert nb.bare("RT @someone: so good &amp; true https://t.co/abc").strip() == "so good & true"


def test_letters_and_words_have_one_length(nb):
    rows = nb.letters(pd.Series(["ab", "", "x" * 500, "é"]))
    assert rows.shape == (4, nb.LETTERS)
    assert rows[0, :3].tolist() == [nb.CHARACTERS.index("a") + 2, nb.CHARACTERS.index("b") + 2, 0]
    assert rows[3, 0] == 1
    words = nb.word_numbers(pd.Series(["You, so?! unheard", ""]))
    assert words.shape == (2, nb.WORDS)
    assert words[0, :5].tolist() == [2, 3, 4, 1, 0]


def test_measures_are_those_of_a_plain_count(nb):
    p = np.random.default_rng(0).dirichlet(np.ones(len(nb.EMOJI)), 4)
    found = nb.measures(p)
    order = np.argsort(-p, axis=1)
    y = nb.right["test"]
    assert found["top-1"] == np.mean(order[:, 0] == y)
    assert found["top-5"] == np.mean([label in row[:5] for label, row in zip(y, order, strict=True)])
    assert found["log loss"] == pytest.approx(-np.log(p[np.arange(4), y]).mean())


@pytest.mark.parametrize("make", ["one_window", "three_windows", "word_network", "recurrent"])
def test_networks_give_probabilities(nb, make):
    model = getattr(nb, make)()
    rows = np.ones((3, model.input_shape[1]), "int32")
    p = model.predict(rows, verbose=0)
    assert p.shape == (3, len(nb.EMOJI))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_a_sure_model_that_is_right_half_the_time_is_off_by_half(nb):
    p = np.tile([1.0] + [0.0] * (len(nb.EMOJI) - 1), (4, 1))
    error, bins = nb.calibration(p, np.array([0, 0, 1, 1]))
    assert error == 0.5
    assert bins["size"].tolist() == [4]


def test_an_honest_model_is_calibrated(nb):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(len(nb.EMOJI)) / 3, 20_000)
    y = (p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1)
    assert nb.calibration(p, y)[0] < 0.02
    assert nb.calibration(nb.scaled(p, 0.5), y)[0] > 0.1


def test_temperature_changes_no_order(nb):
    p = np.random.default_rng(0).dirichlet(np.ones(10), 50)
    q = nb.scaled(p, 2.5)
    np.testing.assert_allclose(q.sum(axis=1), 1)
    assert (np.argsort(p, axis=1) == np.argsort(q, axis=1)).all()
    np.testing.assert_allclose(nb.scaled(p, 1.0), p)


def test_selection_takes_what_helps(nb, monkeypatch):
    right = np.full((4, len(nb.EMOJI)), 0.01)
    right[np.arange(4), nb.right["valid"]] = 1
    good = right / right.sum(axis=1, keepdims=True)
    bad = np.roll(good, 1, axis=1)
    parts = {name: {"valid": p, "test": p} for name, p in (("good", good), ("bad", bad))}
    monkeypatch.setattr(nb, "answers", parts, raising=False)
    assert nb.selected(["bad", "good"]) == ["good"]
    np.testing.assert_allclose(nb.combined("test", ["good", "good"]), good, atol=1e-6)
    np.testing.assert_allclose(nb.combined("test", ["good", "bad"]).sum(axis=1), 1)


@pytest.mark.parametrize("nothing", ["", "?!", "123", None])
def test_nothing_to_read_is_refused(nb, nothing):
    with pytest.raises(ValueError, match="Write a few words"):
        nb.suggest(nothing)


def test_names_are_searched(nb):
    assert "🎂" in nb.search("birthday cake")
    assert len(nb.search("zzzzqq", 3)) == 3
