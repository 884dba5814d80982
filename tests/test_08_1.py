"""Notebook 08.1: rules, letters, batches, and a decoding loop that stops where it should."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import book

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=20)
NOUNS = ["ox", "mouse", "army", "criterion", "sheepdog", "glass"]


@pytest.fixture(scope="module")
def nb():
    return book.definitions("08.1")


@pytest.fixture(scope="module")
def model(nb):
    return nb.network(16)


@pytest.fixture(scope="module")
def transformer(nb):
    return nb.transformer(16, 1)


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("box", "boxes"),
        ("army", "armies"),
        ("day", "days"),
        ("church", "churches"),
        ("fizz", "fizzes"),
        ("dog", "dogs"),
    ],
)
def test_school_knows_its_rules(nb, noun, plural):
    assert nb.school(noun) == plural


@pytest.mark.parametrize(
    ("noun", "plural", "change"),
    [("man", "men", "an → en"), ("sheep", "sheep", "∅ → ∅"), ("ox", "oxen", "∅ → en"), ("axis", "axes", "is → es")],
)
def test_changes_are_named_by_what_differs(nb, noun, plural, change):
    assert nb.change(noun, plural) == change


@given(noun=WORDS, plural=WORDS)
def test_a_change_leads_from_one_to_the_other(nb, noun, plural):
    assert nb.applied(noun, nb.change(noun, plural)) == plural


@given(words=st.lists(WORDS, min_size=1, max_size=5))
def test_words_survive_as_numbers(nb, words):
    assert nb.spell(nb.numbers(words)) == words
    assert (nb.numbers(words, start=True)[:, 0] == nb.START).all()


def test_endings_begin_with_the_longest(nb):
    assert nb.endings("ox") == ["^ox", "ox", "x"]
    assert len(nb.endings("encyclopedia")[0]) == 9


def test_batches_hold_each_pair_once(nb):
    pairs = [(noun * times, noun * times + "s") for noun in ("ab", "cde", "f") for times in range(2, 9)]
    batches = nb.Batches(pairs, rows=4)
    seen = []
    for number in range(len(batches)):
        (nouns, written), right, weight = batches[number]
        assert (written[:, 0] == nb.START).all()
        assert (written[:, 1:] == np.where(right[:, :-1] == nb.END, written[:, 1:], right[:, :-1])).all()
        assert ((right != nb.PAD) == (weight > 0)).all()
        seen += zip(nb.spell(nouns), nb.spell(right), strict=True)
    assert sorted(seen) == sorted(pairs)
    first = [batches[number][0][0].shape[1] for number in range(2)]
    assert first == [5, 25]


@pytest.mark.parametrize("kind", ["model", "transformer"])
def test_padding_and_what_comes_later_change_no_logits(nb, kind, request):
    network = request.getfixturevalue(kind)
    plurals = nb.numbers(["mice", "criteria"], start=True)
    both = ops.convert_to_numpy(network([nb.numbers(["mouse", "criterion"]), plurals]))
    alone = ops.convert_to_numpy(network([nb.numbers(["mouse"]), plurals[:1, :5]]))
    np.testing.assert_allclose(both[0, :5], alone[0], atol=1e-5)


def test_a_step_at_a_time_is_all_at_once(nb, model):
    noun, written = ops.convert_to_tensor(nb.numbers(["army"])), nb.numbers(["armies"], start=True)
    at_once = ops.convert_to_numpy(model([noun, ops.convert_to_tensor(written)]))
    memory, state = model.get_layer("encoder")(noun)
    for place, letter in enumerate(written.T):
        logits, state = model.get_layer("decoder")([ops.convert_to_tensor(letter[:, None]), noun, memory, state])
        np.testing.assert_allclose(ops.convert_to_numpy(logits)[:, 0], at_once[:, place], atol=1e-5)


class Puppet:
    """A model whose decoder spells what it is told to, however often it is called."""

    def __init__(self, nb, words: list[str]):
        self.rows, self.size = nb.numbers(words), nb.SIZE

    def get_layer(self, name):
        return getattr(self, name)

    def encoder(self, noun):
        return np.zeros((len(noun), 1)), np.zeros((len(noun), 1), "int32")

    def decoder(self, inputs):
        state = inputs[3]
        place = np.minimum(state[:, 0], self.rows.shape[1] - 1)
        letter = self.rows[np.arange(len(place)), place]
        return np.eye(self.size)[letter][:, None], state + 1


def test_a_word_that_has_ended_stays_ended(nb):
    """The short word is followed by padding in the puppet's rows: nothing of it may be spelled."""
    assert nb.write(Puppet(nb, ["oxen", "a", "criteria"]), ["ox", "b", "criterion"]) == ["oxen", "a", "criteria"]


def test_a_word_without_an_end_is_cut(nb):
    assert nb.write(Puppet(nb, ["a" * 60]), ["b"], longest=10) == ["a" * 10]


@pytest.mark.parametrize("kind", ["model", "transformer"])
def test_words_are_spelled_alone_as_in_company(nb, kind, request):
    network = request.getfixturevalue(kind)
    write = nb.write if kind == "model" else nb.write_whole
    together = write(network, NOUNS, longest=12)
    assert together == [write(network, [noun], longest=12)[0] for noun in NOUNS]
    assert all(re.fullmatch("[a-z]{0,12}", word) for word in together)


@pytest.mark.parametrize("noun", ["", "a", "Ox", "Zürich", "two words", "x" * 31, "ox\n"])
def test_what_is_no_noun_is_refused(nb, noun):
    with pytest.raises(ValueError, match="is not a noun that can be read"):
        nb.plural(noun)


def test_no_noun_has_no_plural(nb):
    assert nb.plural() == []


@pytest.mark.slow
def test_a_small_network_learns_twenty_words(nb, monkeypatch, tmp_path):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path))
    pairs = [(noun, noun + "s") for noun in ("cat", "dog", "cow", "pig", "hen")] * 400
    monkeypatch.setattr(nb, "train", pairs, raising=False)
    model, _ = nb.fit(nb.network(32), "test", epochs=40, rate=1e-2)
    assert nb.write(model, ["cat", "hen"]) == ["cats", "hens"]
