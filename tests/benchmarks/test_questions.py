"""Recipes 6.5 and 6.6: batches against iterrows, and the time of a search among 20,000 questions.

python -m pytest tests/benchmarks/test_questions.py -s --benchmark-disable-gc
"""

import numpy as np
import pandas as pd
import pytest

import book
from cookbook.sources import docstrings

nb = book.definitions("06.1")


@pytest.fixture(scope="module")
def pairs():
    """The corpus, its words, and their numbers."""
    corpus = docstrings.corpus()
    frame = pd.DataFrame({"asked": corpus["title"].map(nb.words), "answered": corpus["answer"].map(nb.words)})
    known = frame["asked"].str.cat(frame["answered"], " ").str.split().explode().value_counts()
    vocabulary = known[known > 1].index.tolist()
    nb.vectorise = nb.layers.TextVectorization(standardize=None, split="whitespace", vocabulary=vocabulary)
    return frame, nb.numbers(frame["asked"], nb.TITLE), nb.numbers(frame["answered"], nb.ANSWER)


def test_batches(pairs, benchmark):
    frame, titles, answers = pairs
    plain = nb.milliseconds(nb.plain_batches(frame), 20)
    batches = nb.fast_batches(titles, answers, np.random.default_rng(0))
    benchmark(next, batches)
    ours = benchmark.stats.stats.median * 1000
    print(f"\na batch: iterrows {plain:.0f} ms, indexed {ours:.2f} ms: {plain / ours:.0f} times as fast (aim: 20)")


def test_nearest_of_twenty_thousand(pairs, benchmark):
    """A typed question to its five nearest, all of it: words, numbers, network, product, choice."""
    nb.bag = nb.encoder("bag")
    vectors = np.random.default_rng(0).normal(size=(20_000, nb.SIZE)).astype("float32")

    def search():
        return np.argpartition(-(vectors @ nb.vector("smooth a noisy series")), 5)[:5]

    benchmark(search)
    print(f"\nnearest of 20,000: {benchmark.stats.stats.median * 1000:.1f} ms (aim: 10)")
