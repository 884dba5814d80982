"""The icons of chapter 14: named, drawn as small grey pictures, and split so that no twin is on both sides."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resvg_py
from fontTools.ttLib import TTFont, TTLibError
from PIL import Image, ImageDraw, ImageFont

from cookbook import data

logging.getLogger("fontTools").setLevel(logging.ERROR)  # old time stamps in a font harm nobody


class IconError(ValueError):
    """An icon, or a font of icons, that cannot be read. The message says which one, and why."""


@dataclass(frozen=True)
class Icons:
    """names: n strings. pictures: (n, side, side) uint8, 255 is ink. train, held_out: (n,) bool, a few are neither."""

    names: list[str]
    pictures: np.ndarray
    train: np.ndarray
    held_out: np.ndarray


def load(side: int = 32) -> Icons:
    """The 7,279 Material Design Icons, side x side pixels each, split by `split`."""
    font = data.path("icons")
    named = names(font)
    pictures = draw(font, list(named.values()), side)
    train, held_out = split(list(named), pictures)
    return Icons(list(named), pictures, train, held_out)


def names(font: Path) -> dict[str, int]:
    """The code point of each named character of a TrueType or OpenType font; of two with one name, the first.

    Raises IconError where the file is no font.
    """
    try:
        with TTFont(font) as opened:
            characters = opened.getBestCmap() or {}
    except (TTLibError, OSError, AssertionError) as error:
        reason = getattr(error, "strerror", None) or error  # without the path of the machine
        raise IconError(f"{Path(font).name} is no font that can be read ({reason}).") from None
    found: dict[str, int] = {}
    for code, name in characters.items():
        found.setdefault(name, code)
    return found


def draw(font: Path, codes: list[int], side: int = 32) -> np.ndarray:
    """Characters of a font as pictures: (n, side, side) uint8, 255 is ink, edges antialiased.

    A character fills the square as its em does. Raises IconError where the file is no font.
    """
    try:
        face = ImageFont.truetype(str(font), side)
    except OSError as error:
        raise IconError(f"{Path(font).name} is no font that can be read ({error}).") from None
    pictures = np.zeros((len(codes), side, side), "uint8")
    for place, code in enumerate(codes):
        canvas = Image.new("L", (side, side))
        ImageDraw.Draw(canvas).text((side / 2, side / 2), chr(code), font=face, fill=255, anchor="mm")
        pictures[place] = canvas
    return pictures


def from_svg(source: Path | str, side: int = 32) -> np.ndarray:
    """An SVG file as a picture: (side, side) uint8, 255 is ink; what it is coloured with does not matter.

    One that is not square stands in the middle. Raises IconError where it is missing, broken or empty.
    """
    name = Path(source).name
    try:
        content = Path(source).read_text("utf8")
        png = resvg_py.svg_to_bytes(svg_string=content, width=4 * side, height=4 * side, skip_system_fonts=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).removesuffix(".")
        raise IconError(f"{name} cannot be drawn: {reason}.") from None
    ink = Image.open(io.BytesIO(bytes(png))).convert("RGBA").getchannel("A")
    square = Image.new("L", (4 * side, 4 * side))
    square.paste(ink, ((4 * side - ink.width) // 2, (4 * side - ink.height) // 2))
    picture = np.asarray(square.resize((side, side), Image.Resampling.BOX))
    if not picture.any():
        raise IconError(f"{name} draws nothing.")
    return picture


def likeness(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How much ink pictures share: (n, m) floats from 0 to 1, Tanimoto's coefficient of their grey levels.

    some, others: (n, side, side) and (m, side, side). For black and white it is the intersection over the union.
    """
    a, b = (each.reshape(len(each), -1).astype("float32") / 255 for each in (some, others))
    shared = a @ b.T
    return shared / np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - shared, 1e-9)


def vary(batch: np.ndarray, rng: np.random.Generator, shift: int = 1) -> np.ndarray:
    """Each picture of a batch (n, height, width, 1) mirrored or not, and moved by up to `shift` pixels."""
    height, width = batch.shape[1:3]
    room = np.pad(batch, [(0, 0), (shift, shift), (shift, shift), (0, 0)])
    changed = np.empty_like(batch)
    draws = zip(room, rng.random(len(batch)) < 0.5, *rng.integers(0, 2 * shift + 1, (2, len(batch))), strict=True)
    for place, (picture, mirror, down, right) in enumerate(draws):
        moved = picture[down : down + height, right : right + width]
        changed[place] = moved[:, ::-1] if mirror else moved
    return changed


def split(
    names: list[str], pictures: np.ndarray, *, share: float = 0.15, twin: float = 0.9, seed: int = 14
) -> tuple[np.ndarray, np.ndarray]:
    """Which icons are for training and which are held out: two masks, (n,) bool.

    Icons whose names begin with the same word ("home", "home-outline") stay on one side. Of the held-out ones,
    those that still share at least `twin` of their ink with a training icon belong to neither side.
    """
    families, family, sizes = np.unique([name.split("-")[0] for name in names], return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(families))
    chosen = order[np.cumsum(sizes[order]) <= share * len(names)]
    aside = np.isin(family, chosen)
    held_out = aside.copy()
    held_out[aside] = likeness(pictures[aside], pictures[~aside]).max(axis=1) < twin
    return ~aside, held_out
