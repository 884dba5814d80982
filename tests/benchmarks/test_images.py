"""Chapters 10 and 11 against the plain way: one pass instead of a crop a window, and links instead of comparing all."""

import time

import faiss
import keras
import numpy as np
import pytest

import book
from cookbook import data, pictures, zoo


@pytest.fixture(scope="module")
def nb():
    module = book.definitions("11.1")
    module.network = zoo.load("09/efficientnet-lite0")
    return module


def seconds(work, times: int = 3) -> float:
    """The fastest of a few runs, after one that does not count."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def test_one_pass_over_a_photo(nb, benchmark):
    """A photo of 640 x 480: 126 windows of 224 pixels, 32 apart."""
    photo = pictures.square(pictures.load(data.path("photo-coffee")), 640, crop=False)[:480]
    trunk = keras.Model(nb.network.input, nb.network.get_layer("top_relu").output)
    everywhere = nb.fully_convolutional(trunk)
    plain = seconds(lambda: nb.sliding(nb.network, photo, 224), 1)
    everywhere.predict(photo[None], verbose=0)
    benchmark.pedantic(lambda: everywhere.predict(photo[None], verbose=0), rounds=5)
    ours = benchmark.stats["min"]
    print(f"\ncrops {plain:.2f} s, one pass {ours:.3f} s: {plain / ours:.0f} times as fast")
    assert ours < plain


def test_suppression(nb, benchmark):
    """1,000 boxes of a crowded picture, an array at a time against a pair at a time."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 300, (1000, 2))
    boxes, scores = np.hstack([corners, corners + rng.uniform(20, 100, (1000, 2))]), rng.random(1000)

    def overlap(one, other) -> float:
        width = min(one[2], other[2]) - max(one[0], other[0])
        height = min(one[3], other[3]) - max(one[1], other[1])
        both = max(width, 0) * max(height, 0)
        return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)

    def plain() -> list[int]:
        kept: list[int] = []
        for number in sorted(range(len(boxes)), key=lambda each: -scores[each]):
            if all(overlap(boxes[number], boxes[other]) <= 0.7 for other in kept):
                kept.append(number)
        return kept

    ours = benchmark.pedantic(lambda: nb.suppress(boxes, scores, 0.7, 1000), rounds=5)
    assert ours.tolist() == plain()
    print(f"\n{seconds(plain) / benchmark.stats['min']:.0f} times as fast as a pair at a time")


def test_neighbours_one_query_at_a_time(benchmark):
    """10.1's 20,000 vectors: exact and HNSW with the recall of the notebook, one thread."""
    stored = zoo.load("10/clipart-vectors")
    rows = stored["views"].reshape(-1, stored["views"].shape[-1]).astype("float32")
    queries = stored["queries"].astype("float32")
    for array in (rows, queries):
        faiss.normalize_L2(array)
    faiss.omp_set_num_threads(1)
    exact = faiss.IndexFlatIP(rows.shape[1])
    hnsw = faiss.IndexHNSWFlat(rows.shape[1], 12, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction, hnsw.hnsw.efSearch = 100, 32
    for index in (exact, hnsw):
        index.add(rows)
    true, found = (index.search(queries, 10)[1] for index in (exact, hnsw))
    recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(true, found, strict=True)])
    plain = seconds(lambda: [exact.search(query[None], 10) for query in queries])
    benchmark.pedantic(lambda: [hnsw.search(query[None], 10) for query in queries], rounds=3)
    print(f"\n{plain / benchmark.stats['min']:.1f} times exact search's queries/s at recall@10 {recall:.3f}")
    assert recall > 0.9
