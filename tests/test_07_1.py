"""Notebook 07.1: cleaning, copies, topics, characters, slips, the network, and `sentiment`."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import book

CLEANERS = vars(book.definitions("07.1"))


@pytest.fixture(scope="module")
def nb():
    return book.definitions("07.1")


TEXTS = [
    "@united worst flight ever, never again",
    "delayed for hours, no answer",
    "flight 5 leaves at noon http",
    "the car drives itself",
    "thank you, great crew!",
    "I love it, awesome :)",
] * 3
LABELS = ["negative", "negative", "neutral", "neutral", "positive", "positive"] * 3


@pytest.fixture(scope="module")
def small(nb):
    """The notebook's definitions with tiny models, so that `reasons` and `sentiment` answer."""
    nb.words, nb.pieces = nb.word_features().fit(TEXTS), nb.character_features().fit(TEXTS)
    rows = nb.words.transform(TEXTS)
    nb.names, nb.simple = nb.words.get_feature_names_out(), LogisticRegression(C=10).fit(rows, LABELS)
    nb.linear = LogisticRegression(C=10).fit(sp.hstack([rows, nb.pieces.transform(TEXTS)]), LABELS)
    nb.cnn = nb.network()
    nb.best_share = 0.2
    return nb


def test_clean_resolves_links_entities_and_broken_characters(nb):
    assert nb.clean("a &amp;amp; b\r\n&lt;3") == "a & b <3"
    assert nb.clean("see http://t.co/x1äó_ now") == "see http now"
    assert nb.clean("https://t.co/abc") == "http"
    assert nb.clean("donÕ¢_t  stop") == "don _t stop"


@given(st.text())
def test_clean_leaves_printable_ascii_and_settles(text):
    once = CLEANERS["clean"](text)
    assert all(" " <= character <= "~" for character in once)
    assert once == once.strip()
    assert "  " not in once
    assert set(CLEANERS["key"](text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789 ")


def test_key_is_the_same_for_copies(nb):
    assert nb.key("RT @a: Hello, World! http://x.y") == nb.key("hello world") == nb.key("“Hello world” @b MT")
    assert nb.key("smart") == "smart"  # "rt" inside a word stays
    assert nb.key("@a http://b") == ""


def test_near_copies_are_found_through_others(nb):
    fill = [f"nothing{row} shared{row} here{row} at{row} all{row}" for row in range(200)]
    told = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    keys = [*fill, told, told + " lambda", told + " lambda mu", "quite another story"]
    group = nb.near_copies(keys)
    assert len(group) == len(keys)
    assert group[200] == group[201] == group[202]
    assert len(set(group)) == len(keys) - 2


def test_topics(nb):
    texts = pd.Series(
        ["#Coachella2015!", "my iPhone", "self-driving", "nothing", "@united #deflategate"], index=[5, 3, 1, 2, 9]
    )
    assert nb.topic(texts).tolist() == ["Coachella", "Apple", "cars", "other", "Deflategate"]
    assert nb.topic(texts).index.tolist() == [5, 3, 1, 2, 9]


def test_word_features_keep_what_carries_feeling(nb):
    split = nb.word_features().build_tokenizer()
    assert split("don't @united #fail !!! :) ok?") == ["don't", "@united", "#fail", "!!!", ":)", "ok", "?"]


def test_numbers_are_characters(nb):
    rows = nb.numbers(["Az ~", "", "x" * 500])
    assert rows.shape == (3, nb.LENGTH)
    assert rows.dtype == np.int32
    assert rows[0, :5].tolist() == [34, 91, 1, 95, 0]
    assert not rows[1].any()
    assert (rows[2] == 89).all()
    with pytest.raises(UnicodeEncodeError):
        nb.numbers(["é"])


def test_slips(nb):
    text = "the quick brown fox jumps over the lazy dog " * 5
    assert nb.slips(text, 0, np.random.default_rng(0)) == text
    assert nb.slips("", 1, np.random.default_rng(0)) == ""
    assert nb.slips(text, 0.1, np.random.default_rng(0)) == nb.slips(text, 0.1, np.random.default_rng(0))
    spoilt = nb.slips(text, 0.1, np.random.default_rng(0))
    assert spoilt != text
    assert abs(len(spoilt) - len(text)) < 25
    assert len(nb.slips("abc", 1, np.random.default_rng(3))) <= 6


def test_network_gives_probabilities(nb):
    told = nb.network().predict(nb.numbers(["hello", ""]), verbose=0)
    assert told.shape == (2, 3)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)


def test_reasons_add_up(small):
    for text in (TEXTS[0], "a word that nobody knows", TEXTS[4]):
        found = small.reasons(text, count=2)
        expected = small.simple.decision_function(small.words.transform([text]))[0]
        np.testing.assert_allclose(found.loc["sum"], expected)
        assert list(found.columns) == small.CLASSES
        assert len(found) <= 5


def test_sentiment_is_a_distribution(small):
    told = small.sentiment("Great crew, thank you! http://t.co/x")
    assert list(told) == small.CLASSES
    assert sum(told.values()) == pytest.approx(1, abs=0.02)
    assert max(told, key=told.get) == "positive"


@pytest.mark.parametrize("text", ["", "  ", "ありがとう", "!!!", "\x00"])
def test_sentiment_wants_words(small, text):
    with pytest.raises(ValueError, match="no word to judge"):
        small.sentiment(text)


@pytest.mark.parametrize("text", [None, 7, b"bytes", ["a"], np.nan])
def test_sentiment_wants_a_text(small, text):
    with pytest.raises(ValueError, match="is a text, not"):
        small.sentiment(text)
