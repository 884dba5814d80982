"""Draw the style pictures of chapter 12: data/12/brush.png, glass.png and woodcut.png. They are ours, Apache-2.0.

python tests/tools/styles.py                           # then `git diff data` should be empty
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "notebooks"))

from cookbook import paths

SIDE = 256
PAINTS = ("#0b1d3a", "#14406b", "#1f6f9f", "#5fb0c9", "#cfe3d6", "#f4e7b0", "#f2b632", "#d9632a")
PANES = ("#b3122e", "#e4572e", "#f3a712", "#f6e27f", "#2e8b57", "#0f7173", "#2456a6", "#5b2a86", "#e8d5c4")
EDDIES = ((0.3, 0.3, 0.16, 1.0), (0.72, 0.55, 0.2, -1.2), (0.2, 0.82, 0.12, 0.9), (0.85, 0.12, 0.1, -0.8))


def colours(names: tuple[str, ...]) -> np.ndarray:
    """Colours by their names, (n, 3) from 0 to 255."""
    return np.array([ImageColor.getrgb(name) for name in names], float)


def brush(seed: int = 0, strokes: int = 2600) -> np.ndarray:
    """Short strokes of a brush with hairs, which follow the eddies of a stream, dark outside and bright within."""
    rng, paints = np.random.default_rng(seed), colours(PAINTS)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    stream, tone = 0.6 * y, 0.35 + 0.25 * np.sin(9 * y + 3 * np.sin(5 * x))
    for left, top, size, strength in EDDIES:
        away = np.hypot(x - left, y - top)
        stream = stream + strength * np.exp(-((away / size) ** 2))
        tone = (
            tone
            + 0.75 * np.exp(-((away / (0.45 * size)) ** 2))
            + 0.3 * np.cos(40 * away) * np.exp(-((away / size) ** 2))
        )
    down, right = np.gradient(stream)
    tone = (tone - tone.min()) / np.ptp(tone) * (len(paints) - 1)
    picture = Image.new("RGB", (2 * SIDE, 2 * SIDE), PAINTS[1])
    draw = ImageDraw.Draw(picture)
    for _ in range(strokes):
        at = rng.uniform(0, SIDE, 2)
        row, column = at.astype(int)[::-1]
        level = float(np.clip(tone[row, column] + rng.normal(0, 0.6), 0, len(paints) - 1))
        paint = paints[int(level)] * (1 - level % 1) + paints[min(int(level) + 1, len(paints) - 1)] * (level % 1)
        path = _follow(at, down, right, int(rng.integers(8, 20)))
        across = np.gradient(path, axis=0)[:, ::-1] * [-1, 1]
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
        for hair in np.linspace(-2, 2, 5):
            colour = np.clip(paint * (1 + 0.16 * rng.normal()) + rng.normal(0, 6, 3), 0, 255).astype(int)
            draw.line([tuple(point) for point in 2 * (path + hair * across)], fill=tuple(colour), width=2)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _follow(at: np.ndarray, down: np.ndarray, right: np.ndarray, steps: int) -> np.ndarray:
    """A path (steps, 2) along the level lines of the stream with these gradients."""
    path = []
    for _ in range(steps):
        path.append(at)
        row, column = np.clip(at.astype(int)[::-1], 0, SIDE - 1)
        way = np.array([down[row, column], -right[row, column]])
        at = at + 1.6 * way / (np.hypot(*way) + 1e-9)
    return np.array(path)


def glass(seed: int = 1, panes: int = 190) -> np.ndarray:
    """Stained glass: panes about as large as one another, streaks in the glass, lead between."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-20, SIDE + 20, (panes, 2))
    places = np.argwhere(np.ones((SIDE // 4 + 10, SIDE // 4 + 10))) * 4 - 20
    for _ in range(2):  # Lloyd's steps: each middle goes to the middle of its pane
        own = cKDTree(middles).query(places)[1]
        middles = np.array([places[own == pane].mean(axis=0) for pane in range(panes)])
    bend = np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6) for _ in range(2)], axis=-1)
    bent = np.argwhere(np.ones((SIDE, SIDE))).reshape(SIDE, SIDE, 2) + 2.4 * bend / bend.std()
    (near, second), pane = (np.moveaxis(each, -1, 0) for each in cKDTree(middles).query(bent, k=2))
    streaks = gaussian_filter(rng.normal(size=(SIDE, SIDE)), (1, 9))
    light = 1 + 0.16 * streaks / streaks.std() + 0.25 * np.exp(-((near / 9) ** 2))
    picture = colours(PANES)[rng.integers(0, len(PANES), panes)][pane[0]] * light[..., None]
    edge = (second - near)[..., None]
    lead = np.clip((edge - 2.2) / 1.5, 0, 1)  # 0 in the lead, 1 in the glass
    shine = 45 * np.clip(1 - np.abs(edge - 1), 0, 1)
    return np.clip(picture * lead + (1 - lead) * (22 + shine), 0, 255).astype("uint8")


def woodcut(seed: int = 2) -> np.ndarray:
    """Curved lines that swell where it is dark, a second set across them, some of the paper printed red."""
    rng, size = np.random.default_rng(seed), 2 * SIDE
    y, x = np.mgrid[:size, :size] / size
    tone, bend = (gaussian_filter(rng.normal(size=(size, size)), size / each) for each in (14, 20))
    tone, bend = (tone - tone.min()) / np.ptp(tone), bend / bend.std()
    ink = np.sin(2 * np.pi * (38 * y + 14 * x + 1.6 * bend)) > 2.4 * (tone - 0.5)
    ink |= (np.sin(2 * np.pi * (30 * x - 20 * y + 1.2 * bend.T)) > 0.6) & (tone < 0.42)
    black, red, paper = colours(("#18141e", "#d6482c", "#f0e2be"))
    picture = np.where(ink[..., None], black, np.where((tone > 0.62)[..., None], red, paper)).astype("uint8")
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    folder = paths.DATA / "12"
    folder.mkdir(exist_ok=True)
    for make in (brush, glass, woodcut):
        Image.fromarray(make()).quantize(192).save(folder / f"{make.__name__}.png", optimize=True)
