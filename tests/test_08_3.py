"""Notebook 08.3: learning of merges, plain and fast; encoding; the n-gram models that judge it."""

from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import book
from cookbook import subwords, zoo
from cookbook.subwords import BYTES, MERGES, Subwords

WORDS = st.dictionaries(st.text("abcé ", min_size=1, max_size=9), st.integers(1, 9), max_size=12)


@pytest.fixture(scope="module")
def nb():
    return book.definitions("08.3")


def naive(words: dict[str, int], merges: int) -> list[tuple[int, int]]:
    """Byte-pair encoding from scratch, on lists, sharing nothing with the notebook."""
    spelled = [([byte + BYTES for byte in word.encode()], often) for word, often in words.items()]
    learned = []
    for made in range(MERGES, MERGES + merges):
        counts = Counter()
        for numbers, often in spelled:
            for place in range(len(numbers) - 1):
                counts[numbers[place], numbers[place + 1]] += often
        if not counts or max(counts.values()) < 2:
            break
        pair = sorted(pair for pair in counts if counts[pair] == max(counts.values()))[0]
        learned.append(pair)
        for numbers, _ in spelled:
            place = 0
            while place < len(numbers) - 1:
                if (numbers[place], numbers[place + 1]) == pair:
                    numbers[place : place + 2] = [made]
                place += 1
    return learned


@given(words=WORDS)
def test_both_ways_learn_what_a_naive_one_does(nb, words):
    expected = naive(words, 40)
    for made in (nb.learn_plainly(words, 40), nb.learn(words, 40)):
        assert made.dtype == np.uint16
        assert made.shape == (len(expected), 2)
        assert list(map(tuple, made.tolist())) == expected


@given(words=WORDS, seed=st.randoms(use_true_random=False))
def test_the_order_of_words_does_not_matter(nb, words, seed):
    shuffled = list(words.items())
    seed.shuffle(shuffled)
    assert (nb.learn(words, 40) == nb.learn(dict(shuffled), 40)).all()


def test_a_smaller_vocabulary_is_the_beginning_of_a_larger_one(nb):
    assert (nb.learn(nb.TOY, 4) == nb.learn(nb.TOY, 8)[:4]).all()


def test_learns_the_example_of_the_paper(nb):
    known = Subwords(nb.learn(nb.TOY, 8))
    assert [known.decode([number]) for number in range(MERGES, MERGES + 3)] == ["es", "est", "lo"]
    assert known.pieces("lowest") == ["low", "est"]


def test_nothing_comes_of_nothing(nb):
    for words in ({}, {"": 3}, {"a": 5}, {"ab": 1}):
        assert nb.learn(words, 5).shape == nb.learn_plainly(words, 5).shape == (0, 2)
        assert Subwords(nb.learn(words, 5)).size == MERGES
    assert nb.learn(nb.TOY, 0).shape == (0, 2)


def test_what_has_no_bytes_is_refused(nb):
    with pytest.raises(ValueError, match="surrogate"):
        nb.learn({"\ud800": 2}, 5)


def test_the_zoo_holds_a_whole_vocabulary(nb):
    merges = zoo.load("08/subwords")["merges"]
    assert merges.shape == (nb.SIZE - MERGES, 2)
    assert Subwords(merges).size == nb.SIZE


@pytest.mark.parametrize("text", ["", "hello there", "Καλά 👍🏽", "aaaaa  b"])
def test_encodes_plainly(nb, text):
    merges = zoo.load("08/subwords")["merges"][:300]
    assert nb.encode_plainly(text, merges) == Subwords(merges).encode(text)


@pytest.mark.parametrize("text", ["I'm   46, and you?", " ", "", "no spaces"])
def test_words_leave_the_space_away(nb, text):
    assert "".join(nb.words_of(text)) == "".join(subwords.parts(text)).replace(" ", "")


def test_bigram_is_its_formula(nb):
    """Witten and Bell: the share of what is new after a token is the kinds that followed it by all that did."""
    model = nb.Bigram([["a", "b"], ["a", "a", "b"]])
    unigram = {"a": 4 / 11, "b": 3 / 11, "": 3 / 11}
    after = {"": (2, 1), "a": (3, 2), "b": (2, 1)}  # how many tokens followed, and how many kinds
    pairs = {("", "a"): 2, ("a", "b"): 2, ("a", "a"): 1, ("b", ""): 2}

    def share(left, right):
        total, kinds = after[left]
        return (pairs.get((left, right), 0) + kinds * unigram[right]) / (total + kinds)

    alone, paired = model.bits(["b", "a"])
    assert alone == pytest.approx(-log2(unigram["b"] * unigram["a"] * unigram[""]))
    assert paired == pytest.approx(-log2(share("", "b") * share("b", "a") * share("a", "")))


@given(rows=st.lists(st.lists(st.sampled_from("abc")), min_size=1), left=st.sampled_from(["", *"abcz"]))
def test_bigram_gives_away_one(nb, rows, left):
    """All tokens that it knows and the unknown one: their shares after any token add up to 1."""
    model = nb.Bigram(rows)
    shares = np.array([model.shares(left, right) for right in [*model.after, "unknown"]])
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    assert all(np.isfinite(model.bits(["a", "z", "b"])))


def test_shown_pieces_have_bars_and_dots(nb):
    assert nb.shown([" the", "re", " "]) == "·the | re | ·"
