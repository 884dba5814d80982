"""Notebook 12.2: Gram matrices, total variation, the two optimisers, the animation, and the painter."""

import io

import keras
import numpy as np
import pytest
from backends import OTHERS, run
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from PIL import Image

from book import definitions


@pytest.fixture(scope="module")
def notebook():
    module = definitions("12.2")
    picture = keras.Input((None, None, 3))
    first = layers.Conv2D(4, 3, padding="same", activation="relu")(picture)
    module.look = keras.Model(picture, [first, layers.Conv2D(6, 3, padding="same", activation="relu")(first)])
    return module


def colours(seed: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (side, side, 3)).astype("float32")


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), down=st.integers(0, 7), right=st.integers(0, 7))
def test_a_gram_matrix_forgets_where_things_are(notebook, seed, down, right):
    seen = np.random.default_rng(seed).normal(size=(2, 8, 8, 5)).astype("float32")
    moved = np.roll(seen, (down, right), (1, 2))
    gram = np.asarray(notebook.gram(seen))
    assert gram.shape == (2, 5, 5)
    np.testing.assert_allclose(gram, notebook.gram(moved), atol=1e-5)
    np.testing.assert_allclose(gram[0, 1, 2], (seen[0, ..., 1] * seen[0, ..., 2]).mean(), rtol=1e-3, atol=1e-5)


def test_relative_differences_have_no_scale(notebook):
    some, others = np.ones((3, 3), "float32"), 2 * np.ones((3, 3), "float32")
    assert float(notebook.relative(some, others)) == pytest.approx(0.25)
    assert float(notebook.relative(10 * some, 10 * others)) == pytest.approx(0.25)
    assert float(notebook.apart([some, some], [some, others])) == pytest.approx(0.125)


def test_total_variation_counts_steps_to_neighbours(notebook):
    stripes = np.zeros((1, 16, 16, 3), "float32")
    assert float(notebook.variation(stripes)) == 0
    stripes[:, ::2] = 255
    assert float(notebook.variation(stripes)) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 4), (15, 40, 3), (1, 16, 16, 3)])
def test_refuses_what_is_no_picture(notebook, shape):
    with pytest.raises(ValueError, match="three colours and 16 x 16"):
        notebook.batch(np.zeros(shape))


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_optimisers_find_the_picture_and_keep_the_best(notebook, name):
    wanted, start = colours(1), colours(2)
    function = notebook.compiled(lambda pixels: notebook.relative(pixels, wanted[None]))
    found, trace = getattr(notebook, name)(function, start, evaluations=150, seconds=20)
    assert found.shape == start.shape and found.min() >= 0 and found.max() <= 255
    assert trace[0, 1] > 100 * trace[:, 1].min()
    assert (np.diff(trace[:, 0]) > 0).all() and len(trace) <= 150
    assert float(notebook.relative(found.astype("float32"), wanted)) == pytest.approx(trace[:, 1].min(), rel=1e-3)


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_optimisers_stop_in_time(notebook, name):
    function = notebook.compiled(lambda pixels: notebook.variation(pixels))
    _, trace = getattr(notebook, name)(function, colours(2), seconds=0)
    assert len(trace) == 1


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_ctrl_c_keeps_what_was_found(notebook, name):
    calls = []

    def function(pixels):
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return notebook.compiled(lambda pixels: notebook.relative(pixels, np.float32(100)))(pixels)

    found, trace = getattr(notebook, name)(function, colours(3), seconds=60)
    assert len(trace) == 3 and found.shape == (16, 16, 3)


def test_the_loss_of_a_transfer_is_least_for_its_own_photo(notebook):
    photo = colours(4)
    style = [notebook.gram(seen) for seen in notebook.look(photo[None])]
    loss = notebook.transfer_loss(photo, style)
    smooth = notebook.SMOOTH * float(notebook.variation(photo[None]))
    assert float(loss(photo[None])) == pytest.approx(smooth, rel=1e-3)
    assert float(loss(colours(5)[None])) > smooth


def test_an_animation_runs_there_and_back(notebook, monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", lambda data, **options: shown.append((data, options["metadata"])))
    frames = [np.full((20, 20, 3), level, "uint8") for level in (0, 90, 180, 255)]
    content = notebook.animation(frames, "Grey that brightens and darkens.")
    with Image.open(io.BytesIO(content)) as gif:
        assert gif.n_frames == 6 and gif.size == (20, 20)
    data, metadata = shown[0]
    assert data["image/gif"] == content and metadata["image/gif"]["alt"] == data["text/plain"]


def test_the_painter_keeps_the_size(notebook):
    painted = notebook.painter(8).predict(np.stack([colours(6, 32)] * 2), verbose=0)
    assert painted.shape == (2, 32, 32, 3) and painted.min() >= 0 and painted.max() <= 255


PAINTER = """
import numpy as np
from book import definitions

painter = definitions("12.2").painter(8)
painter.compile("adam", "mse")
photos = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
history = painter.fit(photos, photos, epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0], history
"""


@pytest.mark.slow
@OTHERS
def test_the_painter_trains_on_another_backend(backend):
    run(PAINTER, backend)
