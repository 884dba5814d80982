"""Notebook 06.1: words, measures, batches, encoders, loss, and its models on other backends."""

import backends
import numpy as np
import pandas as pd
import pytest

import book

ASKED = ["sort the row", "mean of an array", "draw a line", "read a file"]
ANSWERED = [
    "order row by value",
    "the averag of all valu of an array",
    "plot a line on the ax",
    "load a file from disk",
]


@pytest.fixture(scope="module")
def nb():
    """The notebook's definitions, with a corpus of four pairs."""
    module = book.definitions("06.1")
    known = sorted({word for text in ASKED + ANSWERED for word in text.split()})
    module.own = known
    module.vectorise = module.layers.TextVectorization(standardize=None, split="whitespace", vocabulary=known)
    module.train = pd.DataFrame({"asked": ASKED, "answered": ANSWERED})
    return module


@pytest.fixture
def rows(nb):
    """Word numbers of 40 titles and answers of 1 to 30 words."""
    rng = np.random.default_rng(0)
    made = rng.integers(2, nb.vectorise.vocabulary_size(), (2, 40, nb.ANSWER)).astype("int32")
    made *= np.arange(nb.ANSWER) < rng.integers(1, 30, (2, 40, 1))
    return made[0][:, : nb.TITLE], made[1]


def test_words_take_names_in_code_apart(nb):
    assert nb.words("SavgolFilter") == nb.words("savgol_filter") == nb.words("savgol filters")
    assert nb.words("Sorts, sorting; sorted!") == "sort sort sort"
    assert nb.words("x2, 10%") == "x 2 10"
    assert nb.words("…") == ""


def test_numbers_have_one_length_and_mark_the_unknown(nb):
    made = nb.numbers(pd.Series(["sort the quux", "", "row " * 99]), 10)
    assert made.shape == (3, 10)
    assert made.dtype == np.int32
    assert (made[0] > 0).sum() == 3
    assert made[0, 2] == 1
    assert not made[1].any()
    assert (made[2] > 1).all()


def test_measures_are_those_of_a_plain_count(nb):
    scores = np.random.default_rng(1).integers(0, 40, (50, 50)).astype(float)
    ranks = []
    for row in range(50):
        better = sum(scores[row] > scores[row, row])
        ties = sum(scores[row] == scores[row, row]) - 1
        ranks.append(better + ties / 2)
    found = nb.ranking(scores)
    assert found["recall@1"] == np.mean([rank < 1 for rank in ranks])
    assert found["recall@10"] == np.mean([rank < 10 for rank in ranks])
    assert found["MRR"] == pytest.approx(np.mean([1 / (1 + rank) for rank in ranks]))


def test_bm25_is_its_formula(nb):
    """Robertson and Zaragoza, 2009, equation 3.15, with k1 = 1.5 and b = 0.75."""
    found = nb.bm25(pd.Series(["row line"]), pd.Series(ANSWERED))[0]
    length = np.array([len(text.split()) for text in ANSWERED])
    expected = np.zeros(4)
    for word in ("row", "line"):
        count = np.array([text.split().count(word) for text in ANSWERED])
        seen = (count > 0).sum()
        idf = np.log(1 + (4 - seen + 0.5) / (seen + 0.5))
        expected += idf * count / (count + 1.5 * (0.25 + 0.75 * length / length.mean()))
    assert (np.argsort(-found)[:2] == np.argsort(-expected)[:2]).all()
    assert (found > 0).tolist() == (expected > 0).tolist()


def test_fast_batches_hold_what_plain_ones_hold(nb, rows):
    titles, answers = rows
    (title, answer), label = next(nb.fast_batches(titles, answers, np.random.default_rng(0), rows=16))
    assert title.shape == (32, nb.TITLE)
    assert answer.shape == (32, nb.ANSWER)
    assert label.tolist() == [1.0] * 16 + [0.0] * 16
    pairs = {(one.tobytes(), other.tobytes()) for one, other in zip(titles, answers, strict=True)}
    assert all((one.tobytes(), other.tobytes()) in pairs for one, other in zip(title[:16], answer[:16], strict=True))
    (title, answer), label = next(nb.plain_batches(nb.train, rows=3))
    assert title.shape == (6, nb.TITLE)
    assert answer.shape == (6, nb.ANSWER)
    assert label.tolist() == [1, 0] * 3


def test_phrases_come_from_the_answers(nb, rows):
    titles, answers = rows
    mixed = nb.phrases(titles, answers, np.random.default_rng(0), share=0.5)
    changed = (mixed != titles).any(axis=1)
    assert 5 < changed.sum() < 35
    for phrase, answer in zip(mixed[changed], answers[changed], strict=True):
        phrase, answer = phrase[phrase > 0].tolist(), answer.tolist()
        assert len(phrase) <= 8
        assert any(answer[i : i + len(phrase)] == phrase for i in range(len(answer)))
    assert (nb.phrases(titles, answers, np.random.default_rng(0), share=0) == titles).all()


@pytest.mark.parametrize("kind", ["bag", "cnn", "lstm"])
def test_padding_changes_no_vector(nb, rows, kind):
    model = nb.encoder(kind)
    _, answers = rows
    vectors = model.predict(answers, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    if kind == "bag":
        np.testing.assert_allclose(model.predict(answers[:, :40], verbose=0), vectors, atol=1e-5)


def test_plain_encoder_is_a_sum(nb, rows):
    model = nb.plain_encoder(size=5)
    table = model.get_weights()[0]
    titles, _ = rows
    expected = [table[row[row > 0]].sum(axis=0) for row in titles]
    np.testing.assert_allclose(model.predict(titles, verbose=0), expected, atol=1e-5)


def test_loss_is_two_softmaxes(nb):
    scores = np.random.default_rng(2).normal(size=(6, 6)).astype("float32")
    found = np.asarray(nb.both_ways(None, scores))
    p, q = np.exp(scores), np.exp(scores).T
    expected = -np.log(p.diagonal() / p.sum(axis=1)) - np.log(q.diagonal() / q.sum(axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_training_finds_the_pairs(nb, rows, monkeypatch):
    _, answers = rows
    rng, words = np.random.default_rng(0), nb.vectorise.vocabulary_size()
    first = {"glove": rng.normal(size=(words, 50)), "weights": np.ones((words, 1))}
    monkeypatch.setattr(nb, "start", lambda: first | {"spelling": rng.normal(size=(words, nb.SIZE))})
    titles = answers[:, : nb.TITLE]
    made = nb.train_encoder("bag", titles, answers, epochs=3, rows=20)
    monkeypatch.setattr(nb, "titles", titles, raising=False)
    monkeypatch.setattr(nb, "answers", answers, raising=False)
    assert nb.ranking(nb.cosines(made, np.arange(40)))["MRR"] > 0.9


def test_together_is_safe_where_no_word_is_shared(nb):
    lexical = np.array([[0.0, 0.0], [2.0, 1.0]])
    np.testing.assert_allclose(nb.together(np.ones((2, 2)), lexical, 0.5), [[1, 1], [1.5, 1.25]])


ELSEWHERE = """
import numpy as np
import book
nb = book.definitions("06.1")
nb.vectorise = nb.layers.TextVectorization(standardize=None, split="whitespace", vocabulary=list("abcdef"))
nb.own = list("abcdef")
nb.start = lambda: {"glove": np.ones((8, 50)), "weights": np.ones((8, 1)), "spelling": np.eye(8, nb.SIZE)}
rows = np.random.default_rng(0).integers(1, 8, (16, nb.ANSWER)).astype("int32")
for kind in ("bag", "cnn", "lstm"):
    vectors = nb.unit_vectors(nb.train_encoder(kind, rows[:, : nb.TITLE], rows, epochs=1, rows=8), rows)
    assert vectors.shape == (16, nb.SIZE) and np.isfinite(vectors).all()
"""


@pytest.mark.slow
@backends.OTHERS
def test_models_run_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
