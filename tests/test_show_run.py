"""cookbook.show, run and paths; and the cut network of the tests themselves."""

import io
import random
import socket
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from cookbook import paths, run, show


def test_figure_is_a_png_with_alt_text(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "display", lambda bundle, **keywords: shown.append((bundle, keywords)))
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    show.figure(fig, "A line that rises from one to two.")
    (bundle, keywords) = shown[0]
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/plain"] == keywords["metadata"]["image/png"]["alt"] == "A line that rises from one to two."
    assert not plt.fignum_exists(fig.number)


def test_figure_without_alt_text_is_refused():
    with pytest.raises(ValueError, match="alt text"):
        show.figure(plt.figure(), "a plot")


def test_coloured_text_has_a_value_a_character(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "display", lambda bundle, **_: shown.append(bundle["image/png"]))
    text = "def f(x):\n    return [x]\n" + "y" * 200
    show.coloured_text(text, np.linspace(-1, 1, len(text)), "A short function, its colour rising.", label="place")
    assert shown[0].startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="3 characters need as many values"):
        show.coloured_text("abc", np.zeros(2), "Three letters and only two values.", label="none")


def test_same_figure_same_bytes(monkeypatch):
    """Stored outputs change only when the picture does."""
    shown = []
    monkeypatch.setattr(show, "display", lambda bundle, **_: shown.append(bundle["image/png"]))
    for _ in range(2):
        fig, ax = plt.subplots()
        ax.plot([3, 1, 2])
        show.figure(fig, "A line with a dip in its middle.")
    assert shown[0] == shown[1]


def test_few_colours_make_a_smaller_file(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "display", lambda bundle, **_: shown.append(bundle["image/png"]))
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype("uint8")
    for colours in (None, 64):
        fig, ax = plt.subplots()
        ax.imshow(noise)
        show.figure(fig, "Coloured noise that fills a picture.", colours=colours)
    whole, small = (Image.open(io.BytesIO(png)) for png in shown)
    assert whole.size == small.size and len(small.convert("RGB").getcolors(1000)) <= 64
    assert len(shown[1]) < len(shown[0]) / 2


@pytest.mark.parametrize(("number", "axes"), [(1, 1), (4, 4), (7, 12)])
def test_grid_has_a_place_for_each_picture(monkeypatch, number, axes):
    figures = []
    monkeypatch.setattr(show, "figure", lambda fig, alt, **_: figures.append(fig))
    shapes = [(9, 9), (9, 5, 3)]
    pictures = [np.zeros(shapes[each % 2], "uint8") for each in range(number)]
    show.grid(pictures, [f"number {each}\nof {number}" for each in range(number)], "Black pictures with a number each.")
    drawn = [ax for ax in figures[0].axes if ax.images]
    assert len(drawn) == number and len(figures[0].axes) == axes
    assert [ax.get_title() for ax in drawn] == [f"number {each}\nof {number}" for each in range(number)]
    plt.close(figures[0])


@pytest.mark.parametrize(("pictures", "captions"), [([], []), ([np.zeros((2, 2))], ["a", "b"])])
def test_grid_wants_a_caption_a_picture(pictures, captions):
    with pytest.raises(ValueError, match=f"not {len(pictures)} and {len(captions)}"):
        show.grid(pictures, captions, "Nothing that could be shown here.")


def test_labels_of_boxes_stay_inside_the_picture():
    fig, ax = plt.subplots()
    ax.imshow(np.zeros((100, 100, 3), "uint8"))
    corners = np.array([[0, 0, 30, 30], [90, 0, 100, 20], [-5, 50, 20, 80], [40, 40, 60, 60]], float)
    show.boxes(ax, corners, ["one", "a longer one", "three", ""])
    fig.draw_without_rendering()
    frame = ax.get_window_extent()
    assert len(ax.texts) == 3 and len(ax.patches) == 8  # a white rim each
    for text in ax.texts:
        box = text.get_window_extent()
        assert box.x0 >= frame.x0 - 3 and box.x1 <= frame.x1 + 3 and box.y1 <= frame.y1 + 3
    plt.close(fig)


def test_setup_seeds_everything():
    def draw() -> list[float]:
        run.setup(seed=7, keras=True)
        import keras

        return [random.random(), np.random.rand(), float(keras.random.uniform(()))]

    assert draw() == draw()


def test_setup_is_quiet():
    """Importing TensorFlow through setup prints nothing, whatever it greets with."""
    code = "from cookbook import run; run.setup(seed=1, keras=True); import keras; keras.ops.ones(3)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT / "notebooks", check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_generated_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path))
    assert paths.generated("04", "a.json") == tmp_path / "04" / "a.json"
    assert (tmp_path / "04").is_dir()


def test_network_is_cut_for_what_tests_start():
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "The network is cut" in done.stderr


def test_loopback_is_not_cut():
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('localhost', {server.getsockname()[1]}), 1)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
