"""Notebook 04.2: links, split, ranking, batches, loss, recommender, and its model on other backends."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import book
from cookbook import paths


@pytest.fixture(scope="module")
def nb():
    """The notebook's definitions, with a world of four films."""
    module = book.definitions("04.2")
    module.films = pd.DataFrame({"Title": ["Up", "Rage", "Rage", "Alien"], "Year": [2009, 2009, 1999, 1979]})
    module.films["name"] = module.films["Title"] + " (" + module.films["Year"].astype(str) + ")"
    vectors = np.float32([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    module.vectors = {"films": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)}
    return module


@pytest.fixture(scope="module")
def pairs():
    """3,000 distinct (film, link) pairs of 300 films and 100 links."""
    codes = np.random.default_rng(0).choice(30_000, 3000, replace=False)
    return np.stack([codes // 100, codes % 100], axis=1).astype("int32")


def test_links_are_distinct_and_keep_juniors_whole(nb):
    row = {
        "Cast": "Ann Lee, Robert Downey, Jr., Ann Lee",
        "Director": "Ann Lee",
        "Writer": None,
        "Genre": "Drama",
        "Language": "",
    }
    row |= {
        "Country": "Chile",
        "Production": None,
        "Year": 1999,
        "Rating": "R",
        "Awards": "Won 1 Oscar. Nominated for 2 Oscars.",
    }
    links = nb.film_links(nb.with_pages(pd.DataFrame([row, row | {"Awards": None, "Rating": None}])))
    assert links[0].tolist() == links[0].unique().tolist()
    awards = {"Academy Award", "Academy Award nomination"}
    common = {"Ann Lee", "Robert Downey, Jr.", "Drama", "Chile", "1999 in film"}
    assert set(links[0]) == common | awards | {"Rated R"}
    assert set(links[1]) == common


def test_hold_out_takes_one_pair_of_each_long_film(nb, pairs):
    train, held = nb.hold_out(pairs, np.random.default_rng(1))
    assert len(train) + len(held) == len(pairs)
    assert len(np.unique(held[:, 0])) == len(held)
    assert np.bincount(pairs[:, 0])[held[:, 0]].min() >= 5
    assert set(held[:, 1]) <= set(train[:, 1])
    both = {tuple(pair) for pair in train} | {tuple(pair) for pair in held}
    assert both == {tuple(pair) for pair in pairs}


def test_ranking_is_that_of_a_plain_count(nb, pairs):
    rng = np.random.default_rng(2)
    train, held = nb.hold_out(pairs, rng)
    seen = csr_array((np.ones(len(train)), tuple(train.T)), shape=(300, 100))
    scores = rng.integers(0, 30, (300, 100)).astype("float32")  # with ties
    recall, auc = [], []
    for film, link in held:
        wrong = [other for other in range(100) if not seen[film, other] and other != link]
        better = sum(scores[film, other] > scores[film, link] for other in wrong)
        ties = sum(scores[film, other] == scores[film, link] for other in wrong)
        recall.append(better + ties / 2 < 10)
        auc.append(1 - (better + ties / 2) / len(wrong))
    assert nb.rank_held_out(lambda film: scores[film], held, seen) == pytest.approx((np.mean(recall), np.mean(auc)))


@pytest.mark.parametrize("maker", ["plain_batches", "fast_batches"])
def test_batches_hold_real_pairs_and_no_false_negative(nb, pairs, maker):
    (film, link), label = next(getattr(nb, maker)(pairs, 300, 100, positives=64))
    known = {tuple(pair) for pair in pairs}
    is_known = np.array([pair in known for pair in zip(film, link, strict=True)])
    assert (is_known == (label > 0)).all()
    assert (label > 0).sum() == 64
    assert len(label) > 64 * 9.5
    assert film.dtype == link.dtype == np.int32


def test_fast_batches_draw_films_and_links_evenly(nb, pairs):
    batches = nb.fast_batches(pairs, 300, 100, positives=512)
    drawn = np.concatenate([link[label < 0] for (_, link), label in (next(batches) for _ in range(20))])
    assert np.bincount(drawn, minlength=100).std() < 0.05 * len(drawn) / 100 * 3


def test_loss_is_that_of_a_loop(nb):
    rng = np.random.default_rng(3)
    link, log_share, scores = np.array([4, 7, 4, 9]), rng.normal(size=4), rng.normal(size=(4, 4))
    expected = []
    for i in range(4):
        others = [j for j in range(4) if link[j] != link[i]]
        logits = scores[i, [i, *others]] - log_share[[i, *others]]
        expected.append(np.log(np.exp(logits).sum()) - logits[0])
    target = np.stack([link, log_share], axis=1).astype("float32")
    loss = nb.in_batch_softmax(nb.ops.convert_to_tensor(target), nb.ops.convert_to_tensor(scores.astype("float32")))
    assert np.asarray(loss) == pytest.approx(np.array(expected), abs=1e-5)


def test_a_film_is_found_by_title_or_name(nb):
    assert nb.find_film("Up") == 0
    assert nb.find_film("Rage (1999)") == 2


@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("Aliens", r"'Aliens' is not in the set\. Did you mean Alien \(1979\)"),
        ("Rage", r"'Rage' is several films\. Did you mean Rage \(2009\), Rage \(1999\)\?"),
        ("", "'' is not in the set"),
    ],
)
def test_unknown_film_gets_a_suggestion(nb, title, sentence):
    with pytest.raises(KeyError, match=sentence):
        nb.find_film(title)


def test_recommender_follows_the_taste(nb):
    score = nb.recommend(["Up"], ["Alien"])
    assert score.index.tolist() == ["Rage (2009)", "Rage (1999)"]
    assert score.iloc[0] > 0 > score.iloc[1]
    assert nb.nearest_films("Up", 1).index[0] == "Rage (2009)"


@pytest.mark.parametrize(("liked", "disliked"), [([], ["Up"]), (["Up"], []), ([], [])])
def test_an_empty_list_is_refused(nb, liked, disliked):
    with pytest.raises(ValueError, match="at least one film that is liked and one that is not"):
        nb.recommend(liked, disliked)


BACKEND_RUN = """
import sys, json
sys.path[:0] = sys.argv[1:3]
import book, numpy as np
nb = book.definitions("04.2")
import keras
keras.utils.set_random_seed(1)
rng = np.random.default_rng(0)
film = np.repeat(np.arange(64, dtype="int32"), 8)
link = (film % 4 * 8 + np.tile(np.arange(8), 64)).astype("int32")
order = rng.permutation(len(film))
train = np.stack([film, link], axis=1)[order]
target = np.stack([train[:, 1], np.full(len(train), -np.log(32))], axis=1).astype("float32")
model = nb.FilmLinks(64, 32, size=8)
def loss():
    scores = model([train[:256, 0], train[:256, 1]])
    return float(keras.ops.mean(nb.in_batch_softmax(keras.ops.convert_to_tensor(target[:256]), scores)))
before = loss()
nb.train_in_batch(model, train, target, epochs=10)
vectors = nb.unit_vectors(model)
same = float((vectors["films"][0::4] @ vectors["films"][0]).mean())
other = float((vectors["films"][1::4] @ vectors["films"][0]).mean())
print(json.dumps([keras.backend.backend(), before, loss(), same, other]))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_model_trains_on_every_backend(backend):
    """The notebook's model, loss and training, untouched, under KERAS_BACKEND."""
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed: pip install {backend}, to run the models on it")
    folders = [str(paths.ROOT / "tests" / "tools"), str(paths.ROOT / "notebooks")]
    done = subprocess.run(
        [sys.executable, "-c", BACKEND_RUN, *folders],
        env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    used, before, after, same, other = json.loads(done.stdout.splitlines()[-1])
    assert used == backend
    assert after < 0.8 * before
    assert same > other + 0.5, "films that share their links end up alike"
