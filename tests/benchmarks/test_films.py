"""04.2 against the plain way: vectors that rank held-out links as well, and batches of negatives."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import book
from cookbook import data


@pytest.fixture(scope="module")
def nb():
    return book.definitions("04.2")


@pytest.fixture(scope="module")
def split(nb):
    """train, held, seen, n_films, n_links: what the notebook has when it starts to train."""
    films = nb.with_pages(nb.load_films(data.path("movies")))
    links = nb.film_links(films)
    counts = links.value_counts()
    names = counts[counts >= 3].index
    links = links[links.isin(names)]
    number = pd.Series(np.arange(len(names)), index=names)
    pairs = np.stack([links.index, number[links]], axis=1).astype("int32")
    train, held = nb.hold_out(pairs, np.random.default_rng(4))
    seen = csr_array((np.ones(len(train), "float32"), tuple(train.T)), shape=(len(films), len(names)))
    return train, held[:4000], seen, len(films), len(names)


def train_plain(nb, train, n_films, n_links):
    model = nb.plain_model(n_films, n_links)
    batches = nb.plain_batches(train, n_films, n_links)
    model.fit(batches, steps_per_epoch=len(train) // 512, epochs=25, verbose=0)
    return model


def test_vectors_to_the_same_ranking(nb, split, benchmark):
    """Ours trains, a pass at a time, until both figures are at least those of the plain network after 25 passes."""
    train, held, seen, n_films, n_links = split
    start = time.perf_counter()
    plain = train_plain(nb, train, n_films, n_links)
    plain_seconds = time.perf_counter() - start
    goal = nb.rank_held_out(nb.scorer(nb.unit_vectors(plain)), held, seen)

    share = np.bincount(train[:, 1], minlength=n_links) / len(train)
    target = np.stack([train[:, 1], np.log(share[train[:, 1]])], axis=1)
    model = nb.FilmLinks(n_films, n_links)
    seconds, passes, reached = 0.0, 0, (0.0, 0.0)

    def train_ours():
        nonlocal seconds, passes, reached
        while (reached[0] < goal[0] or reached[1] < goal[1]) and passes < 40:
            start = time.perf_counter()
            nb.train_in_batch(model, train, target, epochs=1)
            seconds, passes = seconds + time.perf_counter() - start, passes + 1
            reached = nb.rank_held_out(nb.scorer(nb.unit_vectors(model)), held, seen)

    benchmark.pedantic(train_ours, rounds=1)
    print("\nplain: {:.0f} s to recall@10 {:.3f}, AUC {:.3f}".format(plain_seconds, *goal))
    print("ours:  {:.0f} s ({} passes) to recall@10 {:.3f}, AUC {:.3f}".format(seconds, passes, *reached))
    print(f"ours is {plain_seconds / seconds:.1f} times as fast to the same ranking")
    assert reached[0] >= goal[0]
    assert reached[1] >= goal[1]


def test_batches_of_negatives(nb, split, benchmark):
    train, _, _, n_films, n_links = split
    plain = nb.milliseconds(nb.plain_batches(train, n_films, n_links))
    batches = nb.fast_batches(train, n_films, n_links)
    benchmark(next, batches)
    ours = benchmark.stats.stats.median * 1000
    print(f"\nplain loop {plain:.1f} ms a batch, NumPy {ours:.2f} ms: {plain / ours:.0f} times as fast")
