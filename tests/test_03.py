"""Chapter 3: cookbook.words, and the functions of its two notebooks."""

import json

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pycountry
import pytest
from gensim.models import KeyedVectors

import book
from cookbook import data, run, show, words


@pytest.fixture(scope="module")
def vectors() -> KeyedVectors:
    return words.load_vectors()


@pytest.fixture(scope="module")
def similarity():
    return book.definitions("03.1")


@pytest.fixture(scope="module")
def ranking():
    return book.definitions("03.2")


@pytest.fixture(scope="module")
def world() -> geopandas.GeoDataFrame:
    return geopandas.read_file(data.path("countries"))


def tiny(**rows: list[float]) -> KeyedVectors:
    """Word vectors of a few words, the first the most frequent."""
    made = KeyedVectors(len(next(iter(rows.values()))))
    made.add_vectors(list(rows), np.array(list(rows.values()), np.float32))
    return made


# cookbook.words


def test_vectors_are_what_the_package_holds(vectors):
    assert vectors.vectors.shape == (400_000, 50)
    assert vectors.vectors.dtype == np.float32
    assert vectors.index_to_key[:3] == ["the", ",", "."]
    assert all(vectors.key_to_index[vectors.index_to_key[row]] == row for row in (0, 1234, 399_999))
    assert [word for word, _ in vectors.most_similar("espresso", topn=1)] == ["cappuccino"]


@pytest.mark.parametrize(
    ("typed", "spelled"),
    [
        ("france", "france"),
        ("France", "france"),
        (" Latte! ", "latte"),
        ("“Paris”", "paris"),
        ("AT&T", "at&t"),
        ("!!!", "!!!"),
    ],
)
def test_check_forgives(vectors, typed, spelled):
    assert words.check(vectors, typed) == [spelled]


@pytest.mark.parametrize(
    ("typed", "first"),
    [("capuccino", "cappuccino"), ("Germny", "germany"), ("lerning", "learning"), ("budhist", "buddhist")],
)
def test_check_suggests_the_nearest_first(vectors, typed, first):
    with pytest.raises(words.UnknownWord, match=f"no vector for '{typed}'. Did you mean {first}[,? ]"):
        words.check(vectors, typed)


def test_check_without_a_suggestion_says_only_that_it_is_unknown(vectors):
    with pytest.raises(words.UnknownWord) as problem:
        words.check(vectors, "xqzzzzzy")
    assert str(problem.value) == "There is no vector for 'xqzzzzzy'."


def test_check_advises_to_ask_for_the_words_of_a_phrase(vectors):
    with pytest.raises(words.UnknownWord, match="Try each word by itself: chamomille, tea"):
        words.check(vectors, "chamomille tea")


def test_check_finds_the_phrases_of_word2vec():
    assert words.check(tiny(New_York=[1, 0], london=[0, 1]), "New York", "London") == ["New_York", "london"]


@pytest.mark.parametrize("given", [(), ("",), ("france", "  "), (None,), (3,)])
def test_check_refuses_nothing(vectors, given):
    with pytest.raises(ValueError, match="at least one word"):
        words.check(vectors, *given)


# show.label_points


def test_labels_cover_neither_marks_nor_each_other():
    run.setup(seed=1)
    points = np.random.default_rng(1).normal(size=(40, 2))
    fig, ax = plt.subplots()
    ax.scatter(*points.T)
    show.label_points(ax, points, [f"word {number}" for number in range(40)])
    boxes = np.array([text.get_window_extent().extents for text in ax.texts])
    marks = ax.transData.transform(points)
    plt.close(fig)
    for number, box in enumerate(boxes):
        others = np.delete(boxes, number, axis=0)
        assert not ((box[:2] < others[:, 2:]) & (others[:, :2] < box[2:])).all(axis=1).any()
        assert not ((box[:2] < marks) & (marks < box[2:])).all(axis=1).any()


# 03.1


def test_nearest_is_gensims_most_similar(similarity, vectors):
    ours = similarity.nearest(vectors, vectors["tea"], topn=5, leave_out=["tea"])
    theirs = dict(vectors.most_similar("tea", topn=5))
    assert list(ours.index) == list(theirs)
    assert np.allclose(ours, list(theirs.values()), atol=1e-5)


def test_analogy_takes_a_word_or_several_a_side(similarity, vectors):
    assert similarity.analogy(vectors, "man", "King", "woman").index[0] == "queen"
    found = similarity.analogy(vectors, ["France", "Germany"], ["Paris", "Berlin"], "Italy", topn=2)
    assert found.index[0] == "rome"
    assert not {"paris", "berlin", "france", "germany", "italy"} & set(found.index)


def test_analogy_with_bad_input_says_so(similarity, vectors):
    with pytest.raises(ValueError, match="at least one word"):
        similarity.analogy(vectors, [], "paris", "italy")
    with pytest.raises(words.UnknownWord, match="Did you mean"):
        similarity.analogy(vectors, "frnace", "paris", "italy")


def test_best_words_is_the_plain_search(similarity):
    random = np.random.default_rng(3)
    unit = random.normal(size=(103, 7)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    queries, forbidden = unit[:20] + 0.3 * unit[20:40], np.c_[np.arange(20), np.arange(20, 40)]
    plain = queries @ unit.T
    assert (similarity.best_words(unit, queries, block=10, batch=6) == plain.argmax(axis=1)).all()
    plain[np.arange(20)[:, None], forbidden] = -np.inf
    assert (similarity.best_words(unit, queries, forbidden, block=10, batch=6) == plain.argmax(axis=1)).all()


def test_questions_are_all_there(similarity):
    questions = similarity.read_questions(data.path("google-analogies"))
    assert len(questions) == 19_544
    assert questions.section.nunique() == 14
    assert not questions.isna().any(axis=None)
    assert questions.iloc[0].tolist() == ["capital-common-countries", "athens", "greece", "baghdad", "iraq"]


def test_half_of_the_common_questions_are_answered(similarity, vectors):
    """The figure that is known for these vectors; on every tenth question."""
    questions = similarity.read_questions(data.path("google-analogies"))
    rows = questions[list("abcd")].map(vectors.key_to_index.get).to_numpy()
    a, b, c, d = rows[(rows < 30_000).all(axis=1)][::10].T
    unit = vectors.get_normed_vectors()[:30_000]
    found = similarity.best_words(unit, unit[b] - unit[a] + unit[c], np.c_[a, b, c])
    assert (found == d).mean() == pytest.approx(0.50, abs=0.03)


def test_parallel_is_one_for_equal_steps_and_zero_for_orthogonal_ones(similarity):
    unit = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], float)
    assert similarity.parallel(unit, np.array([[0, 1], [2, 3]])) == pytest.approx(1)
    assert similarity.parallel(unit, np.array([[0, 1], [0, 2]])) == pytest.approx(0)


def test_pairs_are_counted_once(similarity):
    assert similarity.pairs_of(np.array([[1, 2, 3, 4], [3, 4, 1, 2]])).tolist() == [[1, 2], [3, 4]]


def test_share_kept(similarity):
    points = np.random.default_rng(0).normal(size=(30, 5))
    near = similarity.neighbours(points)
    assert near.shape == (30, 5)
    assert not (near == np.arange(30)[:, None]).any()
    assert similarity.share_kept(near, near) == 1
    assert similarity.share_kept(near, near + 100) == 0


@pytest.mark.parametrize("learn", ["mean_step", "linear_map"])
def test_a_relation_that_is_one_step_is_learned(similarity, learn):
    random = np.random.default_rng(5)
    a = random.normal(size=(20, 8))
    b = a + random.normal(size=8) * 3
    unit = np.r_[a, b]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    score = similarity.held_out(unit, np.c_[np.arange(20), np.arange(20, 40)], getattr(similarity, learn))
    assert score > 0.2  # chance is 1 in 39


@pytest.mark.parametrize("notebook", ["similarity", "ranking"])
def test_all_but_the_top_takes_out_what_is_common(notebook, request):
    random = np.random.default_rng(2)
    raw = random.normal(size=(500, 6)) + 5 * random.normal(size=(500, 1)) * np.eye(6)[2] + 9
    found = request.getfixturevalue(notebook).all_but_the_top(raw, 1, top=500)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.abs(found.mean(axis=0)).max() < 0.2
    assert np.abs(found[:, 2]).mean() < 0.1


# 03.2


def test_truth_is_the_one_word_names(ranking, vectors, world):
    on_map = dict(zip(world.iso_a3.fillna(""), world.name, strict=True))
    rows = ranking.one_word_names(vectors.key_to_index, on_map)
    names = {vectors.index_to_key[row] for row in rows}
    assert {"france", "iran", "russia", "korea", "vietnam", "georgia", "czechia"} <= names
    assert not {"south", "united", "britain", "holland", ""} & names
    assert set(ranking.EXAMPLES.split()) <= names
    assert len(ranking.EXAMPLES.split()) == len(set(ranking.EXAMPLES.split())) == 45


def test_score_is_the_machines_own_decision(ranking, vectors):
    unit = vectors.get_normed_vectors()[:3000]
    svm = ranking.fit(unit, np.arange(100, 120), np.arange(1000, 1200))
    assert np.allclose(ranking.score(svm, unit), svm.decision_function(unit), atol=1e-4)


def test_drawing_by_frequency_prefers_the_frequent(ranking):
    even, frequent = (ranking.draw(10_000, 500, np.random.default_rng(1), zipf) for zipf in (False, True))
    assert len(set(even)) == len(set(frequent)) == 500
    assert np.median(frequent) < 3000 < np.median(even)


def test_measure_counts(ranking):
    found = ranking.measure(np.array([1.0, -1.0, 2.0, 3.0, -2.0]), np.array([0, 1]), np.array([2, 3, 4]))
    assert found == {"precision": pytest.approx(1 / 3), "recall": 0.5, "false": 2}


def test_average_precision_leaves_examples_out(ranking):
    scores, truth = np.array([9.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False])
    assert ranking.average_precision(scores, truth, [0]) == pytest.approx(0.5)


def test_machine_beats_the_centroid(ranking, vectors, world):
    """The aim of recipe 3.4, on the 100,000 most frequent words."""
    unit = vectors.get_normed_vectors()[:100_000]
    on_map = dict(zip(world.iso_a3.fillna(""), world.name, strict=True))
    rows = ranking.one_word_names(vectors.key_to_index, on_map)
    truth = np.isin(np.arange(len(unit)), rows)
    examples = np.array([vectors.key_to_index[word] for word in ranking.EXAMPLES.split()])
    machine = ranking.train(unit, examples, 2000, zipf=True, seed=1)
    centroid = unit @ unit[examples].mean(axis=0)
    best, baseline = (ranking.average_precision(scores, truth, examples) for scores in (machine, centroid))
    assert best > baseline + 0.2


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("France", "FRA", ["france"]),
        ("Dominican Rep.", "DOM", ["dominican", "republic"]),
        ("Bosnia and Herz.", "BIH", ["bosnia", "herzegovina"]),
        ("Trinidad and Tobago", "TTO", ["trinidad", "tobago"]),
        ("eSwatini", "SWZ", ["swaziland"]),
        ("Somaliland", "", ["somaliland"]),
        ("N. Cyprus", "", []),
        ("Antarctica", "ATA", []),
    ],
)
def test_words_for_a_country(ranking, vectors, name, code, expected):
    assert ranking.words_for(name, code, vectors.key_to_index) == expected


def test_ranking_an_unknown_term_is_one_clear_sentence(ranking, vectors):
    matrix = ranking.mean_vectors(vectors.get_normed_vectors(), vectors.key_to_index, [["france"], ["sri", "lanka"]])
    assert np.allclose(np.linalg.norm(matrix, axis=1), 1)
    ranked = ranking.rank_countries(vectors, matrix, ["France", "Sri Lanka"], "Cricket")
    assert list(ranked.index) == ["Sri Lanka", "France"]
    with pytest.raises(words.UnknownWord, match="Did you mean cricket"):
        ranking.rank_countries(vectors, matrix, ["France", "Sri Lanka"], "crickett")


def test_map_draws_every_country(ranking, world):
    """All 177 areas are on it, the missing ones hatched; no shape is torn across the map."""
    run.setup(seed=1)
    assert len(world) == 177 and world.is_valid.all()
    values = pd.Series(np.linspace(0, 1, 175), world.name[:175])
    fig = ranking.country_map(world, values, "a number")
    _, missing, known = fig.axes[0].collections[:3]
    assert missing.get_hatch() and len(set(missing.get_facecolor().ravel())) <= 2
    assert len(known.get_array()) == 175
    assert fig.axes[0].get_legend().get_texts()[0].get_text() == "no vector"
    assert len(fig.axes) == 2, "the map and its colour bar"
    assert {text.get_text() for text in fig.axes[0].texts} == set(values.nlargest(5).index)
    plt.close(fig)
    flat = world.set_geometry(world.segmentize(1)).to_crs(ranking.EQUAL_EARTH)
    earth = 4 * np.pi * 6_371_007.2**2
    assert 0.25 < flat.area.sum() / earth < 0.31, "the land's share of the earth: areas are true"
    widths = flat.bounds.maxx - flat.bounds.minx
    assert set(world.name[widths > 0.9 * widths.max()]) <= {"Antarctica", "Fiji", "Russia", "United States of America"}


def test_answer_lists_are_of_countries_on_the_map(world):
    lists = json.loads(data.path("country-terms").read_text("utf8"))
    on_map = set(world.iso_a3.dropna())
    assert len(lists["terms"]) == 10
    for term, entry in lists["terms"].items():
        assert len(entry["source"]) > 40, term
        assert len(entry["countries"]) == len(set(entry["countries"])) >= 15, term
        assert set(entry["countries"]) <= on_map, term


def test_codes_of_the_map_are_iso(world):
    codes = set(world.iso_a3.dropna()) - {"XKX"}  # Kosovo's code in common use
    assert all(pycountry.countries.get(alpha_3=code) for code in codes)
    assert {"FRA", "NOR"} <= codes
    assert set(world.name[world.iso_a3.isna()]) == {"N. Cyprus", "Somaliland"}
