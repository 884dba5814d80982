"""Notebook 14.4: the language of the pen, what the networks are taught, and how they draw."""

import keras
import numpy as np
import pytest
from backends import OTHERS, run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from book import definitions
from cookbook import icons


@pytest.fixture(scope="module")
def notebook():
    module = definitions("14.4")
    module.book = icons.load(module.SIDE)
    module.inked = module.book.pictures >= 128
    module.train = np.flatnonzero(module.book.train)
    return module


PICTURES = arrays(bool, (24, 24)) | arrays(bool, (24, 24), elements=st.just(True), fill=st.just(False))


@settings(deadline=None, max_examples=60)
@given(picture=PICTURES)
def test_any_picture_goes_there_and_back(notebook, picture):
    program = notebook.encode(picture)
    assert np.array_equal(notebook.decode(program), picture)
    assert program.count(notebook.END) == 1 and max(program) < notebook.VOCABULARY


@settings(deadline=None, max_examples=60)
@given(program=st.lists(st.integers(0, 96), max_size=12))
def test_any_program_draws_or_is_refused(notebook, program):
    try:
        picture = notebook.decode(program)
    except ValueError as error:
        assert "Instruction" in str(error) or "no END" in str(error)
    else:
        assert np.array_equal(notebook.decode(notebook.encode(picture)), picture)


def test_rows_that_are_alike_are_repeated(notebook):
    square = np.zeros((24, 24), bool)
    square[2:6, 3:9] = True
    assert notebook.wording(notebook.encode(square)) == "DOWN 2, SKIP 3, DRAW 6, REPEAT 3, END"
    assert notebook.encode(np.zeros((24, 24), bool)) == [notebook.END]


@pytest.mark.parametrize("picture", [np.zeros((24, 24)), np.zeros((24, 25), bool), np.zeros((1, 24, 24), bool)])
def test_refuses_what_is_no_picture(notebook, picture):
    with pytest.raises(ValueError, match="bool"):
        notebook.encode(picture)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([("SKIP", 20), ("DRAW", 5)], "Instruction 1, DRAW 5, takes the pen beyond the right edge"),
        ([("DOWN", 20), ("REPEAT", 4)], "Instruction 1, REPEAT 4, takes the pen below the picture"),
        ([("DOWN", 24)], "below the picture"),
        ([("DRAW", 24)], "no END"),
    ],
)
def test_says_what_is_wrong_with_a_program(notebook, words, reason):
    with pytest.raises(ValueError, match=reason):
        notebook.decode([notebook.code(*each) for each in words])


def test_nothing_comes_after_the_end_and_codes_are_codes(notebook):
    with pytest.raises(ValueError, match="comes after END"):
        notebook.decode([notebook.END, notebook.END])
    with pytest.raises(ValueError, match="codes go from 0 to 96"):
        notebook.decode([97])


def test_a_pen_at_fault_stops_and_the_others_go_on(notebook):
    pens = notebook.Pens(2)
    for kinds in ("SKIP", "DRAW"):
        pens.obey(np.array([notebook.code(kinds, 20), notebook.code(kinds, 3)]))
    pens.obey(np.array([notebook.END, notebook.END]))
    assert list(pens.faults) == ["beyond the right edge", ""]
    assert list(pens.ended) == [False, True]
    assert not pens.canvas[0].any() and pens.canvas[1].sum() == 3


def test_a_pen_sees_where_it_is_and_what_is_above(notebook):
    pens = notebook.Pens(1)
    for kind, count in (("SKIP", 2), ("DRAW", 4), ("DOWN", 1), ("SKIP", 3)):
        pens.obey(np.array([notebook.code(kind, count)]))
    seen, side, reach = notebook.sight(pens)[0], notebook.SIDE, len(notebook.REACH)
    assert seen.shape == (notebook.SIGHT,)
    assert seen[:side].argmax() == 1 and seen[side : 2 * side + 1].argmax() == 3
    above = seen[2 * side + 1 + reach : 2 * side + 1 + 2 * reach]
    np.testing.assert_array_equal(np.flatnonzero(above), [2, 3, 4, 5])  # the first is three pixels left of the pen
    assert not seen[-3:].any()


def test_a_lesson_asks_for_the_next_instruction(notebook):
    programs = [notebook.encode(picture) for picture in notebook.inked[:5]]
    inputs, targets, weights = notebook.padded(*notebook.lesson(programs))
    assert targets.shape == inputs["before"].shape == weights.shape and targets.shape[1] % 32 == 0
    assert inputs["sight"].shape == (*targets.shape, notebook.SIGHT)
    assert weights.sum() == sum(map(len, programs))
    for row, program in enumerate(programs):
        assert list(targets[row, : len(program)]) == program
        assert (
            list(inputs["before"][row, 1 : len(program)]) == program[:-1] and inputs["before"][row, 0] == notebook.END
        )


def test_lessons_are_valid_programs_that_vary(notebook):
    lessons = notebook.Lessons(notebook.inked[:130])
    first = [program for batch in lessons.batches for program in batch]
    lessons.on_epoch_end()
    second = [program for batch in lessons.batches for program in batch]
    assert len(lessons) == 3 and len(first) == 130
    for program in first[:20]:
        notebook.decode(program)
    assert sorted(first) != sorted(second)


def test_bits_of_a_network_that_knows_nothing(notebook):
    model = notebook.lstm(8)
    for name in ("choose", "rule"):
        model.get_layer(name).set_weights([weight * 0 for weight in model.get_layer(name).get_weights()])
    programs = [notebook.encode(picture) for picture in notebook.inked[:9]]
    expected = [len(program) * np.log2(notebook.VOCABULARY) for program in programs]
    np.testing.assert_allclose(notebook.bits_of(model, programs, size=4), expected, rtol=1e-4)


def test_counted_chances_are_chances(notebook):
    programs = [notebook.encode(picture) for picture in notebook.inked[:40]]
    counts = notebook.counted(programs)
    each = [notebook.counted_bits(counts, [code]) for code in range(notebook.VOCABULARY)]
    assert sum(2.0**-bits for bits in each) == pytest.approx(1)
    assert notebook.counted_bits(counts, programs[3]) < len(programs[3]) * np.log2(notebook.VOCABULARY)


def test_steps_say_what_the_whole_says(notebook):
    model = notebook.lstm(16)
    inputs, *_ = notebook.lesson([notebook.encode(picture) for picture in notebook.inked[:3]])
    whole = model.predict(inputs, verbose=0)
    by_steps, rereading = notebook.by_steps(model, 3), notebook.by_rereading(model, 3)
    for step in range(12):
        said, seen = inputs["before"][:, step], inputs["sight"][:, step]
        np.testing.assert_allclose(by_steps(said, seen), whole[:, step], atol=1e-4)
        np.testing.assert_allclose(rereading(said, seen), whole[:, step], atol=1e-4)


def test_the_transformer_does_not_see_what_comes(notebook):
    model = notebook.transformer(16, 1)
    inputs, *_ = notebook.lesson([notebook.encode(notebook.inked[0])])
    other = {name: array.copy() for name, array in inputs.items()}
    other["before"][:, 10:], other["sight"][:, 10:] = 5, 1
    some, others = (model.predict(each, verbose=0) for each in (inputs, other))
    np.testing.assert_allclose(some[:, :10], others[:, :10], atol=1e-5)
    assert np.abs(some[:, 10:] - others[:, 10:]).max() > 1e-3


def test_a_beginning_is_obeyed_and_a_cool_pen_takes_the_likeliest(notebook):
    line = [notebook.code("DRAW", 9), notebook.END]

    def ends(before, seen):
        logits = np.zeros((len(before), notebook.VOCABULARY))
        logits[:, notebook.END] = 1
        return logits

    pens = notebook.drawn(ends, np.full(4, 0.01), line)
    assert pens.ended.all() and (pens.canvas.sum(axis=(1, 2)) == 9).all()


def test_a_pen_that_does_not_end_is_at_fault(notebook):
    def dots(before, seen):  # one pixel at a time, row by row
        at_the_edge = seen[:, 2 * notebook.SIDE].astype(bool)
        chosen = np.where(at_the_edge, notebook.code("DOWN", 1), notebook.code("DRAW", 1))
        return 9.0 * np.eye(notebook.VOCABULARY)[chosen]

    pens = notebook.drawn(dots, np.full(3, 0.01))
    assert not pens.ended.any()
    assert set(pens.faults) == {f"no END after {notebook.LONGEST} instructions"}


@pytest.mark.parametrize("temperature", [0, -1])
def test_refuses_temperatures_that_are_none(notebook, temperature):
    with pytest.raises(ValueError, match="above 0"):
        notebook.drawn(None, np.array([1.0, temperature]))


TRAINING = """
import numpy as np
from book import definitions

notebook = definitions("14.4")
programs = [notebook.encode(np.eye(24, k=k) > 0) for k in range(8)]
model = notebook.lstm(16)
inputs, targets, weights = notebook.lesson(programs)
import keras
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
history = model.fit(inputs, targets, sample_weight=weights, epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0], history
"""


@pytest.mark.slow
@OTHERS
def test_trains_on_another_backend(backend):
    run(TRAINING, backend)


def test_the_networks_survive_a_file(notebook, tmp_path):
    for name, model in (("lstm", notebook.lstm(8)), ("transformer", notebook.transformer(8, 1))):
        model.save(tmp_path / f"{name}.keras")
        again = keras.saving.load_model(tmp_path / f"{name}.keras")
        inputs, *_ = notebook.lesson([notebook.encode(notebook.inked[0])])
        np.testing.assert_allclose(again.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-5)
