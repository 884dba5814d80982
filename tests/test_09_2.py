"""Notebook 09.2: its Flickr, colours, kernels, the choice of an SVM, and results sorted by their centroid."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

import book
from cookbook.sources import flickr, replay


@pytest.fixture(scope="module")
def nb():
    return book.definitions("09.2")


@pytest.fixture
def stand_in(nb, monkeypatch):
    """The notebook's Flickr, with three cats and a dog."""
    with open(book.ROOT / "data" / "09" / "cats-and-dogs.zip", "rb") as file, nb.zipfile.ZipFile(file) as archive:
        shelf = {f"/cat/{number}.png": archive.read(f"cat/{number:04}.png") for number in range(3)}
    for name, value in {"shelf": shelf | {"/dog/0.png": b""}, "busy": iter([]), "asked": []}.items():
        monkeypatch.setattr(nb, name, value, raising=False)
    with replay.answered(nb.answer) as home:
        monkeypatch.setattr(nb, "home", home, raising=False)
        yield nb


def test_the_stand_in_answers_in_pages(stand_in):
    query = {"method": "flickr.photos.search", "text": "cat", "per_page": "2"}
    pages = [json.loads(stand_in.answer(stand_in.API, query | {"page": str(page)})[2]) for page in (1, 2, 3)]
    assert [len(page["photos"]["photo"]) for page in pages] == [2, 2, 0]
    assert {page["stat"] for page in pages} == {"ok"}
    assert (pages[0]["photos"]["pages"], pages[0]["photos"]["total"]) == (2, 4)


def test_what_is_collected_is_loaded_by_number(stand_in, tmp_path):
    client = flickr.Flickr("0" * 32, home=stand_in.home + stand_in.API, pause=0, picture_pause=0)
    collected = client.collect("cat", tmp_path, bar=False)
    assert collected.refused["reason"].tolist() == ["It is gone (the server answers 404)."]
    before = stand_in.load(tmp_path)
    assert before.shape == (3, 32, 32, 3)
    (tmp_path / collected.photos["file"][0]).unlink()
    client.collect("cat", tmp_path, bar=False)
    assert flickr.photos(tmp_path)["id"].tolist() != collected.photos["id"].tolist()
    assert (stand_in.load(tmp_path) == before).all()


def test_colours_are_counted(nb):
    pictures = np.zeros((2, 4, 5, 3), "uint8")
    pictures[1, :2] = (255, 0, 0)
    found = nb.colour_histogram(pictures, bins=2)
    assert found.shape == (2, 8)
    np.testing.assert_allclose(found[0], np.eye(8)[0])
    np.testing.assert_allclose(found[1] ** 2, np.eye(8)[0] / 2 + np.eye(8)[4] / 2)


def test_colours_are_those_of_a_plain_count(nb):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 3)).astype("uint8")
    expected = np.zeros((3, 6, 6, 6))
    for number, picture in enumerate(pictures):
        for red, green, blue in picture.reshape(-1, 3).tolist():
            expected[number, red * 6 // 256, green * 6 // 256, blue * 6 // 256] += 1
    np.testing.assert_allclose(nb.colour_histogram(pictures), np.sqrt(expected.reshape(3, -1) / 42))


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), "uint8"), np.zeros((2, 4, 4, 4), "uint8")]
)
def test_colours_of_other_things_are_an_error(nb, wrong):
    with pytest.raises(ValueError, match="Pictures are uint8"):
        nb.colour_histogram(wrong)


@pytest.fixture
def clouds(nb, monkeypatch):
    """Two clouds of 60 points each, of which 80 points are for training."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 60)
    rows = rng.normal(size=(120, 4)) + 3 * labels[:, None]
    order = rng.permutation(120)
    names = {"training": order[:80], "held_out": order[80:], "is_dog": labels, "chosen": {}}
    for name, value in names.items():
        monkeypatch.setattr(nb, name, value, raising=False)
    return rows


def test_kernels_are_those_of_scikit_learn(nb, clouds):
    train, held, labels = nb.training, nb.held_out, nb.is_dog
    found = nb.kernels(clouds)
    length = (clouds[train] ** 2).sum(axis=1).mean()
    for name, plain in {"linear": SVC(kernel="linear", C=2 / length), "RBF": SVC(C=2)}.items():
        machine = SVC(kernel="precomputed", C=2).fit(nb.part(found[name], train, train), labels[train])
        scores = machine.decision_function(nb.part(found[name], held, train))
        expected = plain.fit(clouds[train], labels[train]).decision_function(clouds[held])
        np.testing.assert_allclose(scores, expected, atol=0.01)


def test_the_choice_does_not_see_what_is_held_out(nb, clouds):
    validated, name, strict, _ = nb.choose(clouds)
    assert validated > 0.9
    assert strict in nb.STRICT
    spoiled = clouds.copy()
    spoiled[nb.held_out] = 99.0
    assert nb.choose(spoiled)[:3] == (validated, name, strict)


def test_learning_curves_rise(nb, clouds):
    nb.chosen["clouds"] = nb.choose(clouds)
    curve = nb.learning_curve("clouds", [4, 40, 80], draws=5)
    assert curve.shape == (3, 5)
    assert curve[0].mean() <= curve[1].mean() + 0.02
    assert len(set(curve[2])) == 1, "of all there is one set"


# Sorting results


def spotted(odd: int = 20, n: int = 100, distance: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """A cloud with some points of another one, and which these are."""
    rng = np.random.default_rng(2)
    wrong = rng.permutation(n) < odd
    return rng.normal(size=(n, 8)) + distance * wrong[:, None], wrong


def test_rounds_drop_the_odd_ones(nb):
    vectors, wrong = spotted()
    order, left = nb.rerank(vectors, rounds=4, share=0.05)
    assert [len(each) for each in left] == [100, 95, 90, 85, 80]
    assert sorted(order) == list(range(100))
    assert not wrong[left[-1]].any()
    assert wrong[order[80:]].all()
    for before, after in itertools.pairwise(left):
        assert set(after) < set(before)


def test_rounds_are_those_of_a_plain_loop(nb):
    vectors, _ = spotted(odd=30, distance=2.0)
    left = list(range(100))
    for _ in range(3):
        centre = sum(vectors[each] for each in left) / len(left)
        for each in sorted(left, key=lambda each: -np.sum((vectors[each] - centre) ** 2))[:10]:
            left.remove(each)
    assert sorted(nb.rerank(vectors, rounds=3, share=0.1)[1][-1]) == left


def test_no_round_is_the_plain_distance(nb):
    vectors, _ = spotted()
    order, left = nb.rerank(vectors, rounds=0)
    assert len(left) == 1
    assert order.tolist() == nb.distance_to(np.mean)(vectors).tolist()


@pytest.mark.parametrize("wrong", [{"rounds": 20}, {"share": 0.0}, {"share": 0.001}, {"rounds": 1, "share": 1.0}])
def test_rounds_that_drop_none_or_all_are_an_error(nb, wrong):
    with pytest.raises(ValueError, match="drop none, or all"):
        nb.rerank(np.ones((100, 2)), **wrong)


@settings(deadline=None, max_examples=50)
@given(st.integers(3, 60), st.integers(0, 5), st.floats(0.01, 0.5), st.integers(0, 9))
def test_any_results_are_sorted_whole(nb, n, rounds, share, seed):
    vectors = np.random.default_rng(seed).integers(0, 3, (n, 2)).astype(float)  # with many ties
    try:
        order, left = nb.rerank(vectors, rounds, share)
    except ValueError:
        return
    assert sorted(order) == list(range(n))
    assert [len(each) for each in left] == [n - each * round(share * n) for each in range(rounds + 1)]


def test_density_puts_the_lonely_last(nb):
    rng, away = np.random.default_rng(3), np.array([9, 0, 0, 0, 0])
    vectors = np.concatenate([rng.normal(size=(40, 5)) + away, rng.normal(size=(5, 5)) - away])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert set(nb.by_density(vectors, neighbours=10)[-5:]) == set(range(40, 45))


def test_mixes_hold_what_they_should(nb, monkeypatch):
    groups = {"cats": np.arange(20.0)[:, None], "dogs": 100 + np.arange(20.0)[:, None]}
    monkeypatch.setattr(nb, "groups", groups, raising=False)
    vectors, kinds, numbers = nb.mixed({"cats": 12, "dogs": 3}, draw=0)
    assert Counter(kinds.tolist()) == {"cats": 12, "dogs": 3}
    assert vectors[:, 0].tolist() == [numbers[i] + 100 * (kinds[i] == "dogs") for i in range(15)]
    assert len(set(vectors[:, 0])) == 15
    assert kinds[:12].tolist() != ["cats"] * 12
    assert nb.mixed({"cats": 12, "dogs": 3}, draw=0)[0].tolist() == vectors.tolist()
