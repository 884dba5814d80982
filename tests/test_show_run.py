"""cookbook.show, run and paths; and the cut network of the tests themselves."""

import random
import socket
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

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
