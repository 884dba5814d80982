"""Recipe 5.2 against the plain way: batches of a text, and writing a thousand characters.

    python -m pytest tests/benchmarks/test_writer.py -s --benchmark-disable-gc

"Plain" fills one-hot rows in a Python loop, and reads the whole text again for each new character.
"""

import time

import numpy as np
import pytest

import book
from cookbook import data, zoo

nb = book.definitions("05.1")
CHARACTERS = 1000


@pytest.fixture(scope="module")
def model():
    return zoo.load("05/plays")


def likeliest(logits):
    return logits.argmax(axis=-1)


def test_batches(benchmark):
    """An epoch's batches of all plays, against as many one-hot ones."""
    text = "".join(nb.load_plays(data.path("shakespeare")).values())
    batches = nb.plain_batches(text)
    plain = nb.milliseconds(lambda: next(batches), 20)
    x, _ = benchmark.pedantic(lambda: nb.fold(nb.encode(text)), rounds=5)
    ours = benchmark.stats.stats.median * 1000 / (len(x) // 64)
    print(f"\na batch: plain {plain:.1f} ms, folded {ours:.2f} ms: {plain / ours:.0f} times as fast (aim: 10)")


def test_writing_a_thousand_characters(model, benchmark):
    """The same thousand characters from both: the likeliest one each time, so that chance plays no part."""
    prompt = "\n\nACT I.\n"
    start = time.perf_counter()
    plain = nb.plain_write(model, prompt, CHARACTERS, likeliest)
    plain_seconds = time.perf_counter() - start
    writer = nb.Writer(model)
    writer.write(prompt, 10, likeliest)
    written = benchmark.pedantic(writer.write, (prompt, CHARACTERS, likeliest), rounds=3)
    ours = benchmark.stats.stats.median
    same = np.mean([a == b for a, b in zip(plain, written[0], strict=True)])
    print(
        f"\n{CHARACTERS} characters: plain {plain_seconds:.0f} s, step by step {ours:.2f} s: "
        f"{plain_seconds / ours:.0f} times as fast (aim: 30); {same:.1%} of the characters are the same"
    )
    assert same > 0.99
