"""Figures: one look for the whole book, and alt text under each."""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from PIL import Image

# Okabe and Ito's palette, told apart with every kind of colour vision, darkest first.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
MISSING = "#D9D9D9"

STYLE = {
    "figure.figsize": (7, 4),
    "figure.dpi": 90,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "font.size": 10,
    "legend.frameon": False,
    "image.cmap": "cividis",
}


def use_style() -> None:
    """Give matplotlib the look of the book."""
    plt.rcParams.update(STYLE)


def figure(fig: Figure, alt: str, *, colours: int | None = None, quality: int | None = None) -> None:
    """Show a figure as a PNG with alt text, and close it.

    alt: what a reader who cannot see the figure should know; also its plain-text form. colours: at most
    so many, up to 256, which makes a figure with photos a third as large. quality: of a JPEG instead, 1 to 95, for
    textures and noise, of which a PNG would be large.
    """
    if len(alt.split()) < 5:
        raise ValueError("The alt text should say in a sentence what the figure shows.")
    png = io.BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    plt.close(fig)
    kind = "image/jpeg" if quality else "image/png"
    if quality:
        png = _as_jpeg(png, quality)
    elif colours:
        png = _with_few_colours(png, colours)
    display({kind: png.getvalue(), "text/plain": alt}, metadata={kind: {"alt": alt}}, raw=True)


def _as_jpeg(png: io.BytesIO, quality: int) -> io.BytesIO:
    small = io.BytesIO()
    Image.open(png).convert("RGB").save(small, "JPEG", quality=quality, optimize=True)
    return small


def _with_few_colours(png: io.BytesIO, colours: int) -> io.BytesIO:
    small = io.BytesIO()
    Image.open(png).convert("RGB").quantize(colours).save(small, "PNG", optimize=True)
    return small


def grid(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    alt: str,
    *,
    columns: int = 6,
    side: float = 1.3,
    quality: int | None = None,
) -> None:
    """Show pictures in rows, each with a caption above it.

    pictures: arrays as matplotlib draws them: (height, width, 3) uint8, or (height, width) for greys.
    captions: one each, "" for none; a line break makes a second line. side: inches a picture.
    alt, quality: as for `figure`.

    Raises ValueError where there is nothing to show, or not one caption a picture.
    """
    if len(pictures) != len(captions) or not len(pictures):
        raise ValueError(f"There must be pictures, with a caption each: not {len(pictures)} and {len(captions)}.")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    fig, axes = plt.subplots(rows, columns, figsize=(columns * side, rows * (side + 0.14 * lines)), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, picture, caption in zip(axes.flat, pictures, captions, strict=False):
        ax.imshow(picture, **({"cmap": "gray"} if np.ndim(picture) == 2 else {}))
        ax.set_title(caption, fontsize=8, loc="center")
    figure(fig, alt, colours=128, quality=quality)


def boxes(ax: Axes, places: np.ndarray, labels: Sequence[str], *, colour: str = COLOURS[1]) -> None:
    """Draw boxes with labels on a picture.

    places: (n, 4), each left, top, right and bottom in pixels. labels: one each, "" for none.
    """
    for (left, top, right, bottom), label in zip(places, labels, strict=True):
        for line, under in ((3.2, "white"), (1.6, colour)):  # a rim of white: seen on any ground
            ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, lw=line, ec=under))
        if label:
            ground = {"facecolor": "white", "edgecolor": colour, "pad": 1, "linewidth": 0.8}
            wide, high = max(ax.get_xlim()), max(ax.get_ylim())
            x, side = (right, "right") if left > 0.7 * wide else (max(left, 0), "left")  # it stays inside the picture
            where = {"ha": side, "va": "bottom" if top > 0.11 * high else "top"}
            ax.text(x, max(top, 0), label, fontsize=7, color="#222222", bbox=ground, clip_on=True, **where)


def label_points(
    ax: Axes, points: np.ndarray, names: Sequence[str], *, size: float = 8, colour: str = "#222222"
) -> None:
    """Write each name beside its point, where it hides neither a marker nor another label.

    points: (n, 2), in data coordinates. A label that finds no place beside its point stands further away,
    with a thin line. Call it when the markers are drawn and the axes have their limits.
    """
    points = np.asarray(points, float)
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    ax.figure.draw_without_rendering()  # only a figure that is laid out has places in pixels
    pixel = ax.figure.dpi / 72
    marks = [ax.transData.transform(each.get_offsets()) for each in ax.collections if isinstance(each, PathCollection)]
    marks = np.concatenate([*marks, ax.transData.transform(points)])
    taken = np.vstack([np.c_[marks - 3 * pixel, marks + 3 * pixel], *(_box(text) for text in ax.texts)])
    ways = [(away, np.radians(turn)) for away in (5, 9, 14, 20, 28, 38, 50) for turn in range(0, 360, 30)]
    for point, centre, name in zip(points, ax.transData.transform(points), names, strict=True):
        label = ax.annotate(name, point, (0, 0), textcoords="offset points", fontsize=size, color=colour)
        label.set_in_layout(False)
        label.set_path_effects([withStroke(linewidth=2, foreground="white")])  # readable on any ground
        now = _box(label)
        extent = now[2:] - now[:2]
        best = (np.inf, 0.0, now)
        for away, turn in ways:
            aside = np.array([np.cos(turn), np.sin(turn)])
            low = centre + aside * away * pixel + (aside - 1) * extent / 2
            cost = _clashes(np.r_[low, low + extent], taken, ax.get_window_extent().extents)
            if cost < best[0]:
                best = (cost, away, np.r_[low, low + extent])
            if not cost:
                break
        _, away, box = best
        label.set_position((box[:2] - now[:2]) / pixel)
        if away > 9:
            ends = ax.transData.inverted().transform([centre, np.clip(centre, box[:2], box[2:])])
            ax.plot(*ends.T, color="#AAAAAA", linewidth=0.6, zorder=0.5)
        taken = np.vstack([taken, box])


def _box(text: Text) -> np.ndarray:
    """Left, bottom, right and top of a text, in pixels."""
    return text.get_window_extent().extents


def _clashes(box: np.ndarray, taken: np.ndarray, frame: np.ndarray) -> int:
    """How many of the boxes `taken`, (n, 4), a box covers; leaving the frame counts as two."""
    outside = (box[:2] < frame[:2]).any() or (box[2:] > frame[2:]).any()
    return int(((box[:2] < taken[:, 2:]) & (taken[:, :2] < box[2:])).all(axis=1).sum() + 2 * outside)


def coloured_text(
    text: str, values: np.ndarray, alt: str, *, label: str, width: int = 90, limit: float | None = None
) -> None:
    """Show a text whose characters stand on the colour of a number each; large numbers also make them bold.

    text: lines longer than `width` are wrapped. values: (len(text),). alt: as for `figure`. label: what the
    numbers are. limit: the number of the strongest colour, by default the largest magnitude.

    Raises ValueError where there is not one number a character.
    """
    values = np.asarray(values, float)
    if values.shape != (len(text),):
        raise ValueError(f"{len(text)} characters need as many values, not an array of shape {values.shape}.")
    limit = limit or np.abs(values).max()
    places, row, column = [], 0, 0
    for character in text:
        if column == width:
            row, column = row + 1, 0
        places.append((row, column))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    grid = np.full((max(row for row, _ in places) + 1, width), np.nan)
    fig, ax = plt.subplots(figsize=(width * 0.088, len(grid) * 0.19 + 0.7))
    for (row, column), character, value in zip(places, text, values, strict=True):
        if character != "\n":
            grid[row, column] = value
            bold = "bold" if value > limit / 2 else "normal"
            ax.text(column, row, character, ha="center", va="center", family="monospace", size=8, weight=bold)
    image = ax.imshow(grid, cmap="PuOr_r", vmin=-1.6 * limit, vmax=1.6 * limit, aspect="auto")  # text stays readable
    ax.set_axis_off()
    bar = fig.colorbar(image, ax=ax, orientation="horizontal", fraction=0.05, aspect=50, pad=0.02, label=label)
    bar.ax.set_xlim(-limit, limit)
    figure(fig, alt)
