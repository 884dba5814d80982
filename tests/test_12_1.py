"""Notebook 12.1: gradient ascent on pixels, octaves, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from book import definitions
from cookbook import zoo


@pytest.fixture(scope="module")
def notebook():
    module = definitions("12.1")
    module.net = zoo.load("09/efficientnet-lite0")
    return module


@pytest.fixture
def sums():
    """A network of two channels: red plus green, and blue."""
    picture = keras.Input((None, None, 3))
    network = keras.Model(picture, layers.Conv2D(2, 1, use_bias=False)(picture))
    network.set_weights([np.array([[[[1, 0], [1, 0], [0, 1]]]], "float32")])
    return network


def test_names_the_layers_there_are(notebook):
    assert notebook.up_to("block_02_add").output.shape[-1] == 24
    with pytest.raises(ValueError, match="no layer 'block_99'"):
        notebook.up_to("block_99")


@pytest.mark.parametrize("chosen", [[2], [-1], [0, 5]])
def test_refuses_channels_that_there_are_not(notebook, sums, chosen):
    with pytest.raises(ValueError, match="channels 0 to 1"):
        notebook.channels(sums, chosen)


def test_the_gradient_points_to_what_excites(notebook, sums):
    reached, gradient = notebook.climb(sums, notebook.channels(sums, [0, 1]))(np.ones((2, 4, 4, 3), "float32"))
    np.testing.assert_allclose(reached, [2, 1])
    np.testing.assert_allclose(np.asarray(gradient).sum(axis=(1, 2)), [[1, 1, 0], [0, 0, 1]], atol=1e-6)


def test_excites_each_picture_for_its_channel(notebook, sums):
    picture, before, after = notebook.excite(sums, [0, 1], side=16, steps=30)
    assert (after > before).all()
    assert picture[0, ..., :2].mean() > 200 and picture[1, ..., 2].mean() > 200
    assert picture.min() >= 0 and picture.max() <= 255


def test_resized_keeps_what_is_even(notebook):
    even = np.full((9, 7, 3), [10, 20, 30], "float32")
    assert notebook.resized(even, 18, 5).shape == (18, 5, 3)
    np.testing.assert_allclose(notebook.resized(even, 18, 5)[4, 2], [10, 20, 30], rtol=1e-5)


def test_octaves_keep_the_size_and_refuse_small_beginnings(notebook, sums):
    function = notebook.climb(sums, notebook.everything)
    start = np.full((48, 64, 3), 100, "float32")
    assert notebook.octaves(function, start, count=2, steps=3).shape == start.shape
    assert notebook.octaves(function, start, count=2, steps=3).mean() > 100
    with pytest.raises(ValueError, match="smallest of 5 octaves"):
        notebook.octaves(function, start, count=5)


def test_coarse_is_near_nothing_for_noise(notebook):
    noise = np.random.default_rng(0).normal(size=(64, 64, 3))
    slope = np.repeat(np.linspace(0, 1, 64)[:, None], 64, axis=1)[..., None].repeat(3, axis=2)
    assert notebook.coarse(noise) < 0.05 < 0.7 < notebook.coarse(slope)
