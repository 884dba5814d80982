"""cookbook.silhouettes: the animals of chapter 13, and their split."""

import numpy as np
import pytest

from cookbook import silhouettes
from cookbook.icons import likeness


@pytest.fixture(scope="module")
def animals():
    return silhouettes.load()


def test_there_are_a_thousand_of_each(animals):
    assert animals.pictures.shape == (10_000, 28, 28)
    assert animals.pictures.dtype == np.uint8
    assert np.bincount(animals.labels).tolist() == [1000] * len(silhouettes.NAMES)


def test_no_copy_is_on_both_sides(animals):
    assert animals.held_out.sum() == 1000
    assert animals.train.sum() > 8000
    assert not (animals.train & animals.held_out).any()
    train, held = animals.pictures[animals.train], animals.pictures[animals.held_out]
    assert len(np.unique(train.reshape(len(train), -1), axis=0)) == len(train)
    for turned in (held, held[:, :, ::-1]):
        assert likeness(train, turned).max() < 0.97


def test_a_split_is_the_same_again_and_leaves_out_copies():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 28, 28), "uint8")
    pictures = np.concatenate([pictures, pictures[:10], pictures[:, :, ::-1]])  # copies, then mirror images
    train, held_out = silhouettes.split(pictures, 20)
    again = silhouettes.split(pictures, 20)
    assert np.array_equal(train, again[0])
    assert np.array_equal(held_out, again[1])
    assert held_out.sum() == 20
    assert not train[40:50].any()
    assert not held_out[40:50].any()
    for row in np.flatnonzero(held_out):
        mirrored = row + 50 if row < 40 else row - 50
        assert not train[mirrored]
