"""Word vectors: GloVe by default, word2vec on request, and a friendly check of what was typed."""

import string
import unicodedata

import numpy as np
import pandas as pd
from gensim.models import KeyedVectors
from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from cookbook import data


class UnknownWord(KeyError):
    """A word without a vector. The message suggests words that have one."""

    def __str__(self) -> str:
        return self.args[0]


def load_vectors(*, full: bool = False) -> KeyedVectors:
    """Word vectors, most frequent word first.

    By default GloVe 6B: 400,000 lower-case words, float32 of shape (400000, 50).
    full: word2vec GoogleNews, 3 million words and phrases, (3000000, 300), a 1.6 GB download.

    Raises cookbook.data.DataError where the file is missing or changed.
    """
    if full:
        return KeyedVectors.load_word2vec_format(data.path("word2vec-google-news", full=True), binary=True)
    vectors = np.load(data.path("glove-6b-50d-vectors"))
    words = pd.read_parquet(data.path("glove-6b-50d-words"))
    loaded = KeyedVectors(vectors.shape[1])
    loaded.index_to_key = words.iloc[:, 0].tolist()
    loaded.key_to_index = {word: row for row, word in enumerate(loaded.index_to_key)}
    loaded.vectors = vectors
    return loaded


def check(vectors: KeyedVectors, *words: str, choices: int = 50_000) -> list[str]:
    """The words, as the vectors spell them.

    Capital letters, punctuation around a word and a space inside a phrase are forgiven where they
    have to be. choices: how many of the most frequent words are looked through for a suggestion;
    if none is near, all are.

    Raises UnknownWord ("did you mean …?") for the first that has no vector, ValueError for none.
    """
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError("Give at least one word, and no empty ones.")
    return [_spelling(vectors, word.strip(), choices) for word in words]


def _spelling(vectors: KeyedVectors, word: str, choices: int) -> str:
    bare = unicodedata.normalize("NFC", word).strip(string.punctuation + string.whitespace + "“”‘’«»…¿¡")
    phrase = "_".join(bare.split())  # word2vec's phrases: New_York
    for spelling in (word, word.lower(), bare, bare.lower(), phrase, phrase.lower(), phrase.title()):
        if spelling in vectors:
            return spelling
    near = _near(bare, vectors.index_to_key[:choices]) or _near(bare, vectors.index_to_key)
    hint = ""
    if near:
        listed = " or ".join(near) if len(near) < 3 else f"{near[0]}, {near[1]} or {near[2]}"
        hint = f" Did you mean {listed}?"
    elif len(parts := bare.split()) > 1:
        hint = f" Try each word by itself: {', '.join(parts)}."
    raise UnknownWord(f"There is no vector for {word!r}.{hint}")


def _near(word: str, choices: list[str]) -> list[str]:
    """Up to three words that differ by few slips of the finger, the nearest and most frequent first."""
    slips = min(3, len(word) // 3)  # one in a short word, or everything is near
    if not slips:
        return []
    matches = process.extract(word.lower(), choices, scorer=DamerauLevenshtein.distance, score_cutoff=slips, limit=None)
    return [match for match, _, _ in sorted(matches, key=lambda match: match[1:])[:3]]
