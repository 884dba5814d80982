"""The animals of chapter 13: silhouettes of ten kinds, split so that no copy is on both sides."""

from dataclasses import dataclass

import numpy as np

from cookbook import data
from cookbook.icons import likeness

NAMES = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")


@dataclass(frozen=True)
class Silhouettes:
    """pictures: (n, 28, 28) uint8, 255 is the animal. labels: (n,) places in NAMES. train, held_out: (n,) bool; copies
    are neither."""

    pictures: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray


def load() -> Silhouettes:
    """The 10,000 silhouettes, split by `split`."""
    with np.load(data.path("animals"), allow_pickle=False) as arrays:
        pictures, labels = arrays["pictures"], arrays["labels"]
    return Silhouettes(pictures, labels, *split(pictures))


def split(
    pictures: np.ndarray, count: int = 1000, *, twin: float = 0.97, seed: int = 13
) -> tuple[np.ndarray, np.ndarray]:
    """Which pictures are for training and which are held out: two masks, (n,) bool.

    Of pictures that are equal only the first is on a side. `count` of these are held out, at random. Of the others,
    those that share at least `twin` of their light with a held-out one, or with its mirror image, are on neither side.
    """
    _, first = np.unique(pictures.reshape(len(pictures), -1), axis=0, return_index=True)
    chosen = np.random.default_rng(seed).permutation(np.sort(first))
    held_out, train = np.zeros((2, len(pictures)), bool)
    held_out[chosen[:count]] = True
    rest, aside = chosen[count:], pictures[held_out]
    like = np.maximum(*(likeness(pictures[rest], each).max(axis=1) for each in (aside, aside[:, :, ::-1])))
    train[rest[like < twin]] = True
    return train, held_out
