"""Notebook 10.1: views, vectors and their measures, the search and its files, the grid that hides no picture."""

import itertools

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

import book

SIZE = 8


@pytest.fixture(scope="module")
def nb():
    """The notebook's definitions; its network is the mean colour of each quarter of a picture."""
    module = book.definitions("10.1")

    class Quarters:
        def predict_on_batch(self, squares: np.ndarray) -> np.ndarray:
            half = squares.shape[1] // 2
            parts = [squares[:, y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
            return np.concatenate([part.mean(axis=(1, 2)) for part in parts], axis=1).astype("float32")

    module.backbone = Quarters()
    module.network = None
    return module


@pytest.fixture
def search(nb):
    """A search for 20 plain pictures, of each of which it holds three views."""
    rng = np.random.default_rng(0)
    stored = {"mean": np.full(12, 128, "float32"), "directions": np.linalg.qr(rng.normal(size=(12, SIZE)))[0].T}
    made = rng.integers(0, 256, (20, 2, 2, 3), dtype="uint8").repeat(20, axis=1).repeat(20, axis=2)
    base = nb.project(nb.features([nb.canvas(picture) for picture in made]), stored)
    views = nb.unit(np.concatenate([base, base + 0.01, base - 0.01]))
    index = faiss.IndexHNSWFlat(SIZE, 8, faiss.METRIC_INNER_PRODUCT)
    index.add(views)
    found = nb.ImageSearch(index, [f"picture {number}" for number in range(20)], stored)
    found.pictures = made
    return found


# Pictures


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 128, 3), (128, 2, 3), (128, 64, 3), (300, 500, 3)])
def test_canvas_keeps_proportions_on_white(nb, shape):
    square = nb.canvas(np.zeros(shape, "uint8"), 64)
    assert square.shape == (64, 64, 3)
    assert square.dtype == np.uint8
    dark = (square < 128).all(axis=2)
    assert dark.any(axis=1).sum() == max(1, round(64 * min(1, shape[0] / shape[1])))
    assert dark.any(axis=0).sum() == max(1, round(64 * min(1, shape[1] / shape[0])))


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 90, 3), (128, 100, 3)])
def test_views_are_pictures_and_repeatable(nb, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    for seed in range(20):
        view = nb.changed(picture, np.random.default_rng(seed))
        assert view.dtype == np.uint8
        assert view.ndim == 3
        assert view.size
        assert (view == nb.changed(picture, np.random.default_rng(seed))).all()


def test_every_change_gives_a_picture(nb):
    picture = np.random.default_rng(0).integers(0, 256, (100, 60, 3), dtype="uint8")
    for change in nb.CHANGES.values():
        assert nb.canvas(np.asarray(change(picture))).shape == (nb.SIDE, nb.SIDE, 3)
    assert np.asarray(nb.CHANGES["half of it"](picture)).shape == (70, 42, 3)


def test_histogram_leaves_the_ground_out(nb):
    white = np.full((9, 9, 3), 255, "uint8")
    assert not nb.histogram(white).any()
    white[:3] = (255, 0, 0)
    white[3] = (0, 0, 255)
    found = nb.histogram(white)
    assert found[48] ** 2 == pytest.approx(0.75)
    assert found[3] ** 2 == pytest.approx(0.25)
    assert (found > 0).sum() == 2


# Vectors


def test_unit_vectors_and_a_zero(nb):
    made = nb.unit(np.array([[3, 4], [0, 0]]))
    np.testing.assert_allclose(made, [[0.6, 0.8], [0, 0]])
    assert made.dtype == np.float32


def test_whole_numbers_keep_the_direction(nb):
    vectors = nb.unit(np.random.default_rng(0).normal(size=(50, 96)))
    whole = nb.whole(vectors)
    assert whole.dtype == np.int8
    assert ((nb.unit(whole) * vectors).sum(axis=1) > 0.999).all()


def test_precision_is_a_plain_count(nb, monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4))
    groups = rng.choice(["a", "b", "signs_and_symbols/flags"], 30)
    monkeypatch.setattr(nb, "group", groups, raising=False)
    shares = []
    for row in range(30):
        cosine = [v @ vectors[row] / np.linalg.norm(v) if i != row else -np.inf for i, v in enumerate(vectors)]
        shares.append(np.mean(groups[np.argsort(cosine)[-5:]] == groups[row]))
    found = nb.precision(vectors, 5)
    assert found["all"] == pytest.approx(np.mean(shares))
    assert found["without flags"] == pytest.approx(np.mean(np.array(shares)[groups != "signs_and_symbols/flags"]))


def test_text_search_is_counted(nb, monkeypatch):
    monkeypatch.setattr(nb, "group", np.array(["a"] * 10 + ["b"] * 10), raising=False)
    right = np.r_[np.ones(10), np.zeros(10)]
    assert nb.found_by_text(np.stack([right, right]), ["a", "b"]) == 0.5


# Search


def test_recall(nb):
    assert nb.recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [9, 4]])) == 0.75


def test_timed_gives_the_same_one_by_one(nb, search):
    queries = np.ascontiguousarray(search.index.reconstruct_n(0, 7))
    one, speed = nb.timed(search.index, queries, batch=1, count=3)
    many, _ = nb.timed(search.index, queries, batch=7, count=3)
    assert one.shape == (7, 3)
    assert (one == many).all()
    assert speed > 0


def test_a_picture_finds_itself_first(nb, search):
    for number, picture in enumerate(search.pictures):
        vector = search.vector(picture)
        assert vector.shape == (SIZE,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        found = search.nearest(vector, 5)
        assert found[0][0] == number
        assert found[0][1] == pytest.approx(1, abs=1e-3)


def test_each_picture_comes_once_and_best_first(search):
    found = search.nearest(search.vector(search.pictures[3]), 10)
    numbers, cosines = zip(*found, strict=True)
    assert len(set(numbers)) == 10
    assert list(cosines) == sorted(cosines, reverse=True)
    assert len(search.nearest(search.vector(search.pictures[3]), 500)) == 20


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((5, 5), "uint8"),
        np.zeros((5, 5, 4), "uint8"),
        np.zeros((0, 5, 3), "uint8"),
        np.zeros((5, 5, 3), "float32"),
    ],
)
def test_what_is_no_picture_is_refused(search, picture):
    with pytest.raises(ValueError, match="A picture is uint8"):
        search.vector(picture)


def test_saved_and_loaded_it_is_the_same(nb, search, tmp_path):
    nb.save(search, tmp_path / "new" / "search")
    again = nb.load(tmp_path / "new" / "search")
    assert again.names == search.names
    assert set(again.stored) == {"mean", "directions"}
    vector = search.vector(search.pictures[7])
    assert again.nearest(vector) == search.nearest(vector)
    assert (again.vector(search.pictures[7]) == vector).all()


@pytest.mark.parametrize("name", ["index.faiss", "arrays.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_a_damaged_search_is_refused(nb, search, tmp_path, name, damage):
    nb.save(search, tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "other": b"no such thing" * 99}[damage])
    with pytest.raises(ValueError, match="holds no whole search"):
        nb.load(tmp_path)


def test_nothing_is_unpickled(nb, search, tmp_path):
    nb.save(search, tmp_path)
    np.savez(tmp_path / "arrays.npz", names=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="holds no whole search"):
        nb.load(tmp_path)


# The grid

points = st_np.arrays(float, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-1e6, 1e6))


@given(points)
def test_no_picture_hides_another(nb, places):
    cells = nb.on_grid(places, 5, 6)
    assert cells.shape == (len(places),)
    assert len(set(cells.tolist())) == len(places)
    assert ((cells >= 0) & (cells < 30)).all()


def test_what_is_on_a_grid_stays(nb):
    places = np.array([(x, y) for y in range(3) for x in range(4)], float)
    assert nb.on_grid(places, 3, 4).tolist() == list(range(12))


def test_the_moves_are_the_shortest(nb):
    places = np.random.default_rng(0).random((5, 2))
    places[:2] = (0, 0), (1, 1)  # so that scaling changes nothing
    grid = np.array([(x, y) for y in (0, 1) for x in (0, 0.5, 1)])

    def cost(cells) -> float:
        return ((places - grid[list(cells)]) ** 2).sum()

    assert cost(nb.on_grid(places, 2, 3)) == pytest.approx(min(map(cost, itertools.permutations(range(6), 5))))


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros((13, 2)), np.array([[0, np.nan]]), np.array([[np.inf, 0]])])
def test_the_grid_refuses(nb, bad):
    with pytest.raises(ValueError, match="3 x 4 cells take 1 to 12 finite points"):
        nb.on_grid(bad, 3, 4)


def test_touching_is_a_mean_of_neighbours(nb):
    vectors = nb.unit(np.random.default_rng(0).normal(size=(4, 3)))
    cosine = vectors @ vectors.T
    # 0 1 / 2 3, the cells of a grid of two columns, filled in another order
    order = np.array([2, 0, 3, 1])
    at = np.argsort(order)
    pairs = [(at[0], at[1]), (at[2], at[3]), (at[0], at[2]), (at[1], at[3])]
    assert nb.touching(order, vectors, 2) == pytest.approx(np.mean([cosine[pair] for pair in pairs]))


def test_sheet_places_thumbnails(nb, search, monkeypatch):
    monkeypatch.setattr(nb, "originals", list(search.pictures), raising=False)
    paper = nb.sheet([4, 9], np.array([(0, 0), (1, 1)]), across=3, side=20)
    assert paper.shape == (60, 60, 3)
    assert (paper[:20, :20] == nb.canvas(search.pictures[4], 20)).all()
    assert (paper[40:, 40:] == nb.canvas(search.pictures[9], 20)).all()
    assert (paper[20:40] == 255).all()


def test_strip_is_a_png_of_eleven_or_refused(nb, search, monkeypatch):
    monkeypatch.setattr(nb, "originals", list(search.pictures), raising=False)
    monkeypatch.setattr(nb, "names", search.names, raising=False)
    monkeypatch.setattr(nb, "search", search, raising=False)
    monkeypatch.setattr(nb, "base", search.index.reconstruct_n(0, 20), raising=False)
    from cookbook import pictures

    assert pictures.load(nb.strip("picture 3")).shape == (96, 11 * 96, 3)
    with pytest.raises(ValueError, match="No picture is called 'x'"):
        nb.strip("x")
