"""Notebook 13.1: its measures, the layer that draws codes, and its models on other backends."""

import numpy as np
import pytest
from backends import OTHERS, run
from hypothesis import given
from hypothesis import strategies as st

from book import definitions


@pytest.fixture(scope="module")
def notebook():
    return definitions("13.1")


def test_nats_are_the_cross_entropy_of_the_pixels(notebook):
    rng = np.random.default_rng(0)
    pictures, logits = rng.random((3, 28, 28, 1)).astype("float32"), rng.normal(size=(3, 28, 28, 1)).astype("float32")
    white = 1 / (1 + np.exp(-logits.astype("float64")))
    expected = -(pictures * np.log(white) + (1 - pictures) * np.log(1 - white)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(np.asarray(notebook.nats(pictures, logits)), expected, rtol=1e-4)


def test_nats_stay_finite_where_a_network_is_sure(notebook):
    ones = np.ones((1, 28, 28, 1), "float32")
    assert float(notebook.nats(ones, -500 * ones)[0]) == pytest.approx(500 * 784, rel=1e-5)
    assert float(notebook.nats(ones, 500 * ones)[0]) == pytest.approx(0)


@given(st.floats(-2, 3, width=32))
def test_logits_are_finite_and_turn_back(notebook, value):
    turned = 1 / (1 + np.exp(-float(notebook.logit(np.array(value)))))
    assert turned == pytest.approx(np.clip(value, 0.01, 0.99), abs=1e-5)


@pytest.mark.parametrize(
    "pictures", [np.zeros((2, 32, 32), "uint8"), np.zeros((28, 28), "uint8"), np.zeros((1, 28, 28))]
)
def test_refuses_pictures_of_another_kind(notebook, pictures):
    with pytest.raises(ValueError, match="uint8"):
        notebook.inputs(pictures)


def test_standard_normal_codes_cost_nothing(notebook):
    layer = notebook.Code()
    assert layer(np.zeros((4, 6), "float32")).shape == (4, 3)
    assert float(layer.losses[0]) == pytest.approx(0)
    layer(np.concatenate([np.ones((4, 3)), np.zeros((4, 3))], axis=1).astype("float32"))
    assert float(layer.losses[-1]) == pytest.approx(1.5)


def test_elbo_counts_the_same_divergence(notebook):
    pictures = np.zeros((4, 28, 28, 1), "float32")
    _, divergence = notebook.elbo(pictures, np.ones((4, 3)), np.ones((4, 3)), lambda codes: pictures)
    assert divergence == pytest.approx(1.5)


def test_codes_like_others_have_their_mean_and_spread(notebook):
    codes = np.random.default_rng(0).normal(5, 2, (500, 3))
    drawn = notebook.like(codes, 4000)
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(drawn.std(axis=0), codes.std(axis=0), rtol=0.1)


TRAINING = """
import numpy as np
from book import definitions

notebook = definitions("13.1")
pictures = (np.random.default_rng(0).random((8, 28, 28, 1)) > 0.5).astype("float32")
for model in (notebook.autoencoder(), notebook.variational()):
    model.compile("adam", notebook.nats)
    history = model.fit(pictures, pictures, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0], history
"""


@pytest.mark.slow
@OTHERS
def test_models_train_on_another_backend(backend):
    run(TRAINING, backend)
