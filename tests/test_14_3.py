"""Notebook 14.3: the two opponents, their losses, what is alike, and diffusion."""

import keras
import numpy as np
import pytest
from backends import OTHERS, run
from hypothesis import given
from hypothesis import strategies as st

from book import definitions


@pytest.fixture(scope="module")
def notebook():
    module = definitions("14.3")
    module.train = np.random.default_rng(0).random((70, 32, 32, 1)).astype("float32")
    module.draw = module.generator()
    return module


def test_the_hinge_stops_at_one(notebook):
    sure, unsure = np.full((4, 1), 3, "float32"), np.zeros((4, 1), "float32")
    assert float(notebook.critic_loss(sure, -sure)) == 0
    assert float(notebook.critic_loss(unsure, unsure)) == 2
    assert float(notebook.generator_loss(sure)) < float(notebook.generator_loss(unsure))


def test_the_critic_is_not_steep(notebook):
    critic, rng = notebook.critic(), np.random.default_rng(1)
    some, others = rng.random((2, 64, 32, 32, 1)).astype("float32")
    for _ in range(30):  # the singular values are found step by step
        critic(some, training=True)
    said = [critic.predict(each, verbose=0)[:, 0] for each in (some, others)]
    apart = np.sqrt(((some - others) ** 2).sum(axis=(1, 2, 3)))
    assert (np.abs(said[0] - said[1]) / apart).max() < 8  # a convolution may overlap itself


def test_a_duel_moves_both(notebook):
    draw, judge = notebook.generator(), notebook.critic()
    before = [[weight.numpy().copy() for weight in model.trainable_variables] for model in (draw, judge)]
    step = notebook.duel(draw, judge, 3)
    said = [step(notebook.train[:8]).numpy() for _ in range(3)]
    assert np.isfinite(said).all() and np.shape(said) == (3, 3)
    for model, old in zip((draw, judge), before, strict=True):
        changed = [np.abs(a - b.numpy()).max() for a, b in zip(old, model.trainable_variables, strict=True)]
        assert max(changed) > 0


def test_ctrl_c_keeps_the_generator(notebook, monkeypatch, capsys):
    def duel(*_):
        calls = iter([np.zeros(3)] * 5)

        def step(real):
            try:
                return notebook.tf.constant(next(calls))
            except StopIteration:
                raise KeyboardInterrupt from None

        return step

    monkeypatch.setattr(notebook, "duel", duel)
    monkeypatch.setattr(notebook, "noise", np.zeros((16, notebook.CODE), "float32"), raising=False)
    model, progress, _ = notebook.trained_gan()
    assert "stopped after 6 of" in capsys.readouterr().out
    assert progress["curves"].shape == (1, 3) and progress["strip"].shape == (1, 16, 32, 32)
    assert model.output_shape == (None, 32, 32, 1)


def test_finds_what_is_alike(notebook):
    pictures = (np.random.default_rng(2).random((6, 32, 32, 1)) > 0.5).astype("float32")
    pictures[4] = pictures[1]
    places, shared = notebook.alike(pictures)
    assert places[1] == 4 and places[4] == 1 and shared[1] == pytest.approx(1)
    places, shared = notebook.alike(pictures[:2], pictures[::-1])
    assert list(shared) == pytest.approx([1, 1]) and places[0] == 5


@pytest.mark.parametrize("shape", [(64,), (3, 63), (2, 64, 1)])
def test_refuses_noise_of_another_shape(notebook, shape):
    with pytest.raises(ValueError, match=r"\(n, 64\)"):
        notebook.ask(np.zeros(shape))
    assert notebook.ask(np.zeros((2, 64))).shape == (2, 32, 32, 1)


def test_the_way_between_ends_where_it_should(notebook):
    start, end = np.random.default_rng(3).normal(size=(2, notebook.CODE))
    way = notebook.between(start, end, 5)
    np.testing.assert_allclose(way[[0, -1]], notebook.ask(np.stack([start, end])), atol=1e-5)


@given(seed=st.integers(0, 1000), angle=st.floats(0, np.pi / 2))
def test_a_mixture_and_its_motion_give_icon_and_noise(notebook, seed, angle):
    ink, noise = np.random.default_rng(seed).normal(size=(2, 3, 8, 8, 1)).astype("float32")
    mixture, motion = notebook.mixed(ink, noise, np.full(3, angle))
    np.testing.assert_allclose(np.cos(angle) * mixture - np.sin(angle) * motion, ink, atol=1e-5)
    np.testing.assert_allclose(np.sin(angle) * mixture + np.cos(angle) * motion, noise, atol=1e-5)


def test_denoising_finds_the_only_icon(notebook):
    """Where all icons are one, the right motion is known, and drawing must end at that icon."""
    icon = np.sign(np.random.default_rng(4).normal(size=(32, 32, 1))).astype("float32")

    class Knows:
        def predict(self, inputs, **_):
            mixture, times = inputs
            angle = np.arctan2(times[:, 0], times[:, 8])[:, None, None, None]  # of the slowest speed
            noise = (mixture - np.cos(angle) * icon) / np.sin(angle)
            return np.cos(angle) * noise - np.sin(angle) * icon

    begun = np.random.default_rng(5).normal(size=(2, 32, 32, 1)).astype("float32")
    beliefs = notebook.denoise(Knows(), begun, steps=7)
    assert len(beliefs) == 7
    np.testing.assert_allclose(beliefs[-1], np.stack([(icon + 1) / 2] * 2), atol=1e-4)


def test_a_denoiser_sees_the_angle_and_survives_a_file(notebook, tmp_path):
    model = notebook.denoiser(8, 16)
    rng = np.random.default_rng(6)
    model.set_weights([rng.normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    pictures = notebook.train[:2]
    said = [model.predict([pictures, notebook.clock(np.full(2, angle))], verbose=0) for angle in (0.1, 1.4)]
    assert said[0].shape == pictures.shape and np.abs(said[0] - said[1]).max() > 1e-3
    model.save(tmp_path / "denoiser.keras")
    again = keras.saving.load_model(tmp_path / "denoiser.keras")
    np.testing.assert_allclose(
        again.predict([pictures, notebook.clock(np.full(2, 0.1))], verbose=0), said[0], atol=1e-5
    )


def test_a_batch_of_mixtures(notebook):
    (mixture, times), motion = notebook.Mixtures()[0]
    assert mixture.shape == motion.shape == (64, 32, 32, 1) and times.shape == (64, 16)
    assert mixture.dtype == motion.dtype == np.float32


TRAINING = """
import numpy as np
from book import definitions

notebook = definitions("14.3")
model = notebook.denoiser(8, 16)
model.compile("adam", "mse")
rng = np.random.default_rng(0)
ink, noise = rng.normal(size=(2, 8, 32, 32, 1)).astype("float32")
mixture, motion = notebook.mixed(ink, noise, rng.uniform(0, 1.5, 8))
history = model.fit((mixture, notebook.clock(np.full(8, 0.5))), motion, epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0], history
"""


@pytest.mark.slow
@OTHERS
def test_the_denoiser_trains_on_another_backend(backend):
    run(TRAINING, backend)
