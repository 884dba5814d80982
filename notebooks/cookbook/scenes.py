"""Pictures with exact boxes, made at run time: cut-outs pasted onto photos, as many as a detector wants to see."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance
from tqdm.auto import tqdm

from cookbook import pictures


class Scene(NamedTuple):
    """pixels: uint8 (side, side, 3). boxes: float (n, 4), left, top, right, bottom in pixels. classes: int (n,)."""

    pixels: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray


def cut_outs(file: Path, folders: Mapping[str, Sequence[str]], *, most: int = 200) -> list[list[Image.Image]]:
    """The cut-outs of each class out of a zip file of pictures with transparency, at most so many each.

    folders: the classes, with the beginnings of the names of their files; the first that fits counts. The order
    is drawn at random, once for all. What is transparent all over is left out.
    """
    found: list[list[Image.Image]] = [[] for _ in folders]
    with zipfile.ZipFile(file) as archive:
        for name in np.random.default_rng(11).permutation(sorted(archive.namelist())):
            kind = next((kind for kind, each in enumerate(folders.values()) if name.startswith(tuple(each))), None)
            if kind is not None and len(found[kind]) < most and (cut := cut_out(archive.read(name))):
                found[kind].append(cut)
    return found


def cut_out(content: bytes) -> Image.Image | None:
    """A picture without its transparent margin; None where nothing in it is quite visible."""
    picture = Image.fromarray(pictures.load(content, alpha=True))
    visible = _visible(picture)
    return visible and picture.crop(visible)


def scenes(number: int, cuts: list[list], photos: list[np.ndarray], *, seed: int, side: int) -> list[Scene]:
    """Scenes of one to five cut-outs each, on random pieces of the photos. cuts: those of each class.

    Raises ValueError where a scene would be smaller than what is pasted.
    """
    if side < 256:
        raise ValueError(f"Cut-outs of up to 180 pixels need a scene of 256 pixels a side at least, not {side}.")
    rng = np.random.default_rng(seed)
    return [_scene(cuts, photos, rng, side) for _ in tqdm(range(number), desc="scenes")]


def _scene(cuts: list, photos: list, rng: np.random.Generator, side: int) -> Scene:
    canvas, boxes, classes = _ground(photos, rng, side), np.empty((0, 4)), []
    for kind in rng.integers(0, len(cuts), rng.integers(1, 6)):
        cut = _vary(cuts[kind][rng.integers(len(cuts[kind]))], rng)
        for _ in range(20):  # places to try
            place = rng.integers(0, side - np.array(cut.size))
            box = np.array([*place, *(place + cut.size)], float)
            if not len(boxes) or _shared(box, boxes).max() < 0.1:
                canvas.paste(cut, tuple(map(int, place)), cut)
                boxes, classes = np.vstack([boxes, box]), [*classes, kind]
                break
    return Scene(np.asarray(canvas), boxes, np.array(classes))


def _ground(photos: list[np.ndarray], rng: np.random.Generator, side: int) -> Image.Image:
    """A random piece of a random photo, in other colours."""
    picture = Image.fromarray(photos[rng.integers(len(photos))]).convert("RGB")
    extent = rng.uniform(0.5, 1) * min(picture.size)
    left, top = (rng.uniform(0, each - extent) for each in picture.size)
    box = (left, top, left + extent, top + extent)
    piece = picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
    tinted = np.asarray(piece) * rng.uniform(0.6, 1.1, 3) + rng.uniform(-30, 40)
    return Image.fromarray(tinted.clip(0, 255).astype("uint8"))


def _vary(cut: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A cut-out of 60 to 180 pixels, perhaps mirrored, turned a little, in slightly other colours."""
    scale = np.exp(rng.uniform(np.log(60), np.log(180))) / max(cut.size)
    cut = cut.resize([max(8, round(scale * extent)) for extent in cut.size], Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    cut = cut.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    cut = cut.crop(_visible(cut))
    colours = ImageEnhance.Color(cut.convert("RGB")).enhance(rng.uniform(0.6, 1.4))
    colours = ImageEnhance.Brightness(colours).enhance(rng.uniform(0.75, 1.2))
    colours.putalpha(cut.getchannel("A"))
    return colours


def _visible(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """The box around what is more opaque than not."""
    return picture.getchannel("A").point(lambda alpha: 255 * (alpha > 128)).getbbox()


def _shared(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with others, (n,)."""
    both = (np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])).clip(0).prod(-1)
    return both / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(-1) - both)
