"""cookbook.minilm: pieces of words, and vectors that do not depend on their company."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import run

run.setup(seed=0, keras=True)
from cookbook import minilm  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##like", "##ly", "a", "##b", "!", "cafe"]
VOCABULARY = {word: row for row, word in enumerate(WORDS)}


def test_longest_piece_comes_first():
    assert minilm.pieces("unlikely", VOCABULARY) == [4, 5, 6]
    assert minilm.pieces("xyz", VOCABULARY) == [1]
    assert minilm.pieces("a" * 101, VOCABULARY) == [1]


def test_marks_and_accents():
    assert minilm.wordpieces("Café! a\x00b", VOCABULARY) == [2, 10, 9, 7, 8, 3]
    assert minilm.wordpieces("", VOCABULARY) == [2, 3]


@given(st.text(max_size=400))
def test_any_text_is_read(text):
    numbers = minilm.wordpieces(text, VOCABULARY)
    assert numbers[0] == 2
    assert numbers[-1] == 3
    assert 2 <= len(numbers) <= minilm.TOKENS


@pytest.fixture(scope="module")
def encoder():
    return minilm.Encoder()


def test_vectors_are_of_length_one_and_know_meaning(encoder):
    cat, kitten, market = encoder(["a cat", "the kitten", "stock markets fell"])
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-4)
    assert cat @ kitten > cat @ market + 0.3


def test_company_changes_no_vector(encoder):
    texts = ["a cat", "the quick brown fox jumps over the lazy dog " * 4, "hello"]
    together = encoder(texts, batch=2)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(encoder([text])[0], vector, atol=1e-4)
    assert encoder([]).shape == (0, minilm.SIZE)
