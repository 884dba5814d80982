"""Notebook 13.1: the measures, the layer that draws codes, and its models on other backends."""

import backends
import numpy as np
import pytest

import book
from cookbook import zoo


@pytest.fixture(scope="module")
def nb():
    return book.definitions("13.1")


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((6, 28, 28, 1), "float32")


def test_inputs_are_pictures_of_0_to_1(nb):
    made = nb.inputs(np.full((2, 28, 28), 255, "uint8"))
    assert made.shape == (2, 28, 28, 1)
    assert made.dtype == np.float32
    assert (made == 1).all()
    for wrong in (np.zeros((2, 28, 28)), np.zeros((28, 28), "uint8"), np.zeros((1, 32, 32), "uint8")):
        with pytest.raises(ValueError, match="Pictures are uint8"):
            nb.inputs(wrong)


def test_nats_are_the_cross_entropy(nb, pictures):
    logits = np.random.default_rng(1).normal(0, 3, pictures.shape).astype("float32")
    p = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -(pictures * np.log(p) + (1 - pictures) * np.log(1 - p)).sum(axis=(1, 2, 3))
    assert np.array(nb.nats(pictures, logits)) == pytest.approx(expected, rel=1e-5)


def test_nats_of_sure_logits_are_finite(nb, pictures):
    assert np.isfinite(nb.nats(pictures, np.full(pictures.shape, 1e4, "float32"))).all()


def test_logit_undoes_the_sigmoid_and_keeps_from_the_edges(nb):
    p = np.array([0.2, 0.5, 0.99])
    assert 1 / (1 + np.exp(-nb.logit(p))) == pytest.approx(p, abs=1e-6)
    assert nb.logit(np.array([-0.3, 1.2])) == pytest.approx(nb.logit(np.array([0.01, 0.99])))


def test_light_is_the_sigmoid(nb):
    assert nb.light(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 28, 28)
    assert (nb.light(np.zeros((1, 28, 28, 1), "float32")) == 0.5).all()


def test_the_shapes_of_the_networks(nb):
    assert nb.autoencoder().output_shape == nb.variational().output_shape == (None, 28, 28, 1)
    assert nb.make_encoder(nb.SIZE).output_shape == (None, nb.SIZE)
    assert nb.recogniser().output_shape == (None, 10)


def test_the_layer_draws_as_told_and_pays_the_divergence(nb):
    mean = np.tile(np.array([[1.0, -2.0]], "float32"), (20_000, 1))
    log_variance = np.tile(np.array([[0.0, -1.0]], "float32"), (20_000, 1))
    layer = nb.Code()
    drawn = np.array(layer(np.concatenate([mean, log_variance], axis=1)))
    assert drawn.mean(axis=0) == pytest.approx([1, -2], abs=0.03)
    assert drawn.std(axis=0) == pytest.approx([1, np.exp(-0.5)], abs=0.03)
    expected = ((mean**2 + np.exp(log_variance) - 1 - log_variance) / 2).sum(axis=1).mean()
    assert float(layer.losses[0]) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_that_fit_sees_is_both_terms(nb, pictures):
    model = nb.variational()
    model.compile("sgd", nb.nats, jit_compile=False)
    total = model.evaluate(pictures, pictures, verbose=0)
    named = model.get_layer("encoder").predict(pictures, verbose=0)
    mean, log_variance = np.split(named, 2, axis=1)
    divergence = ((mean**2 + np.exp(log_variance) - 1 - log_variance) / 2).sum(axis=1).mean()
    assert total > divergence + 0.5 * 784 * np.log(2)


def test_the_bound_of_a_code_that_says_nothing_is_the_reconstruction(nb, pictures):
    nothing = np.zeros((6, 4))
    surprise, divergence = nb.elbo(pictures, nothing, nothing + 1, lambda codes: np.zeros((6, 28, 28, 1), "float32"))
    assert surprise == pytest.approx(784 * np.log(2), rel=1e-5)
    assert divergence == 0
    _, further = nb.elbo(pictures, nothing + 2, nothing + 1, lambda codes: np.zeros((6, 28, 28, 1), "float32"))
    assert further == pytest.approx(4 * 2**2 / 2)


def test_random_codes_have_the_mean_and_covariance_asked_for(nb):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + 7
    made = nb.like(codes, 40_000)
    assert made.dtype == np.float32
    assert made.mean(axis=0) == pytest.approx(codes.mean(axis=0), abs=0.05)
    assert np.cov(made.T) == pytest.approx(np.cov(codes.T), abs=0.15)


def test_the_models_are_small_and_load(nb):
    for name in ("autoencoder", "vae", "animals"):
        model = zoo.load(f"13/{name}", {"Code": nb.Code})
        assert model.count_params() < 170_000


ELSEWHERE = """
import numpy as np
import book
from cookbook import zoo

nb = book.definitions("13.1")
pictures = np.random.default_rng(0).random((64, 28, 28, 1), "float32")
for model in (nb.autoencoder(), nb.variational()):
    model.compile("adam", nb.nats)
    losses = model.fit(pictures, pictures, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0], losses
vae = zoo.load("13/vae", {"Code": nb.Code})
assert nb.decode(vae, np.zeros((2, nb.SIZE), "float32")).shape == (2, 28, 28, 1)
mean, deviation = nb.named(vae, pictures)
assert (deviation > 0).all()
"""


@pytest.mark.slow
@backends.OTHERS
def test_models_run_on_other_backends(backend):
    backends.run(ELSEWHERE, backend)
