"""cookbook.subwords: any text to numbers and back, whatever the merges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import subwords, zoo
from cookbook.subwords import BYTES, MERGES, Subwords

ANYTHING = st.text() | st.text(" \n\t'’aeinorst.,😀é中") | st.text(st.characters(min_codepoint=0x10000))


@pytest.fixture(scope="module")
def tokenizer():
    return Subwords.load()


def plain(text: str, merges: np.ndarray) -> list[int]:
    """As Sennrich, Haddow and Birch put it: one merge after the other goes over the whole part."""
    encoded = []
    for part in subwords.parts(text):
        numbers = [byte + BYTES for byte in part.encode()]
        for made, (left, right) in enumerate(merges.tolist(), MERGES):
            place = 0
            while place < len(numbers) - 1:
                if numbers[place] == left and numbers[place + 1] == right:
                    numbers[place : place + 2] = [made]
                place += 1
        encoded += numbers
    return encoded


@given(text=ANYTHING)
def test_any_text_comes_back(tokenizer, text):
    numbers = tokenizer.encode(text)
    assert tokenizer.decode(numbers) == text
    assert all(BYTES <= number < tokenizer.size for number in numbers)
    assert len(numbers) <= len(text.encode())


@given(text=ANYTHING)
def test_parts_joined_are_the_text(text):
    assert "".join(subwords.parts(text)) == text
    assert all(subwords.parts(text))


@given(text=ANYTHING)
def test_pieces_tell_what_each_number_is(tokenizer, text):
    pieces, numbers = tokenizer.pieces(text), tokenizer.encode(text)
    assert len(pieces) == len(numbers)
    if text.isascii():
        assert "".join(pieces) == text


@given(text=st.text("helo tarnyu'’é中 ", max_size=30))
def test_encodes_as_the_plain_way_does(tokenizer, text):
    merges = zoo.load("08/subwords")["merges"][:400]
    assert Subwords(merges).encode(text) == plain(text, merges)


@given(
    pairs=st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=12),
    text=st.text("ab", max_size=20),
)
def test_encodes_as_the_plain_way_does_with_any_merges(pairs, text):
    """Merges of a, b and of what came before, among them aa + aa, a + aa and other hard ones."""
    choices, merges = [ord("a") + BYTES, ord("b") + BYTES], []
    for left, right in pairs:
        pair = (choices[left % len(choices)], choices[right % len(choices)])
        if pair not in merges:
            choices.append(MERGES + len(merges))
            merges.append(pair)
    merges = np.array(merges, "int64").reshape(-1, 2)
    made = Subwords(merges)
    assert made.encode(text) == plain(text, merges)
    assert made.decode(made.encode(text)) == text


@given(words=st.lists(st.sampled_from(["hello", " there", "Straße", "😀"]), max_size=20))
def test_the_cache_changes_nothing(tokenizer, words):
    text = "".join(words)
    uncached = [number for part in subwords.parts(text) for number in tokenizer.merge(part)]
    assert tokenizer.encode(text) == tokenizer.encode(text) == uncached


@given(numbers=st.lists(st.integers(0, 4095)))
def test_decode_takes_whatever_a_model_writes(tokenizer, numbers):
    text = tokenizer.decode(numbers)
    assert text == tokenizer.decode(np.array(numbers, "int32"))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_padding_start_and_end_are_left_out(tokenizer):
    numbers = tokenizer.encode("Hi there")
    assert tokenizer.decode([subwords.START, *numbers, subwords.END, subwords.PAD, subwords.PAD]) == "Hi there"
    assert tokenizer.decode([]) == ""
    assert tokenizer.encode("") == []


def test_bytes_that_are_no_character_become_the_replacement_sign(tokenizer):
    smile = Subwords(np.zeros((0, 2), int)).encode("😀")
    assert tokenizer.decode(smile) == "😀"
    assert tokenizer.decode([*smile[:2], *tokenizer.encode("ok")]) == "\ufffdok"
    assert tokenizer.pieces("😀") == ["\\xf0", "\\x9f", "\\x98", "\\x80"]


def test_without_merges_there_are_bytes():
    alone = Subwords(np.zeros((0, 2), int))
    assert alone.size == MERGES == 259
    assert alone.encode("aé") == [ord("a") + 3, 0xC3 + 3, 0xA9 + 3]


@pytest.mark.parametrize("text", ["\ud800", "well \udfff"])
def test_half_of_a_surrogate_pair_is_refused(tokenizer, text):
    with pytest.raises(ValueError, match="surrogate"):
        tokenizer.encode(text)


@pytest.mark.parametrize("number", [-1, 4096, 10**9])
def test_numbers_outside_the_vocabulary_are_refused(tokenizer, number):
    with pytest.raises(ValueError, match="0 to 4095"):
        tokenizer.decode([5, number])


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ([[100.0, 101.0]], "integers"),
        ([100, 101], "shape"),
        ([[100, 101, 102]], "shape"),
        (7, "shape"),
        ([[100, 259]], "earlier"),
        ([[2, 100]], "earlier"),
        ([[-4, 100]], "earlier"),
        ([[100, 101], [100, 101]], "second time"),
    ],
)
def test_what_are_no_merges_is_refused(merges, message):
    with pytest.raises(ValueError, match=message):
        Subwords(merges)


@pytest.mark.parametrize("run", ["a", "中", "7", "!", " ", "\n", "'", "a'", "e\u0301"])
def test_long_runs_are_cut(tokenizer, run):
    """Merging takes time by the square of a part, so no part may be long."""
    assert max(map(len, subwords.parts(run * 50_000))) <= 62
    assert tokenizer.decode(tokenizer.encode(run * 50_000)) == run * 50_000
