"""Notebook 14.2: the halves of the autoencoder, and what they cost."""

import numpy as np
import pytest
from backends import OTHERS, run

from book import definitions


@pytest.fixture(scope="module")
def notebook():
    return definitions("14.2")


def test_batches_are_targets_of_themselves(notebook):
    pictures = np.random.default_rng(0).random((9, 32, 32, 1)).astype("float32")
    batch, target = notebook.Batches(pictures)[0]
    assert batch is target and batch.shape == (notebook.BATCH, 32, 32, 1)


def test_cross_entropy_is_least_where_the_drawing_is_right(notebook):
    ink = np.random.default_rng(0).random((3, 32, 32, 1)).astype("float32")
    right = np.asarray(notebook.cross_entropy(ink, ink))
    assert right.shape == (3,)
    assert (right < np.asarray(notebook.cross_entropy(ink, np.clip(ink + 0.1, 0, 1)))).all()
    assert np.isfinite(np.asarray(notebook.cross_entropy(np.round(ink), 1 - np.round(ink)))).all()


def test_standard_normal_codes_cost_nothing(notebook):
    layer = notebook.Sampling()
    codes = layer(np.zeros((5, notebook.CODE), "float32"), np.zeros((5, notebook.CODE), "float32"))
    assert codes.shape == (5, notebook.CODE)
    assert float(layer.losses[0]) == pytest.approx(0)
    layer(np.ones((5, notebook.CODE), "float32"), np.zeros((5, notebook.CODE), "float32"))
    assert float(layer.losses[-1]) == pytest.approx(notebook.CODE / 2)


TRAINING = """
import numpy as np
from book import definitions

notebook = definitions("14.2")
model = notebook.joined(notebook.halves())
pictures = (np.random.default_rng(0).random((8, 32, 32, 1)) > 0.5).astype("float32")
model.compile("adam", loss=notebook.cross_entropy)
history = model.fit(pictures, pictures, epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0], history
"""


@pytest.mark.slow
@OTHERS
def test_trains_on_another_backend(backend):
    run(TRAINING, backend)
