"""The animals of chapter 13: what is in them, and that no copy is on both sides."""

import numpy as np

from cookbook import icons, silhouettes


def test_animals_are_ten_kinds_split_without_copies():
    animals = silhouettes.load()
    assert animals.pictures.shape == (10_000, 28, 28) and animals.pictures.dtype == np.uint8
    assert np.bincount(animals.labels).tolist() == [1000] * len(silhouettes.NAMES)
    assert not (animals.train & animals.held_out).any()
    assert animals.held_out.sum() == 1000
    like = icons.likeness(animals.pictures[animals.held_out][:100], animals.pictures[animals.train])
    assert like.max() < 0.97


def test_equal_and_mirrored_pictures_are_on_one_side():
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype("uint8")
    pictures[20:30], pictures[30:] = pictures[:10], pictures[10:20, :, ::-1]
    train, held_out = silhouettes.split(pictures, count=8)
    assert held_out.sum() == 8
    flat = [{row.tobytes() for row in pictures[side]} for side in (train, held_out)]
    mirrored = {row[:, ::-1].tobytes() for row in pictures[held_out]}
    assert not flat[0] & (flat[1] | mirrored)
