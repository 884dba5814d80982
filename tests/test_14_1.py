"""Notebook 14.1: searching icons by name, sheets of them, folders of SVG files."""

import numpy as np
import pytest

from book import definitions
from cookbook import data, icons

NAMES = ["arrow-up", "arrow-down-outline", "home", "home-outline", "battery-off", "glasses"]
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M2 2h4v4h-4z"/></svg>'


@pytest.fixture(scope="module")
def notebook():
    return definitions("14.1")


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("all arrows", ["arrow-up", "arrow-down-outline"]),
        ("Home outline", ["home-outline"]),
        ("batteries", ["battery-off"]),
        ("glasses", ["glasses"]),
    ],
)
def test_finds_icons_by_their_words(notebook, question, found):
    assert notebook.find(question, NAMES) == found


@pytest.mark.parametrize(
    ("question", "says"),
    [("arow", "arrow"), ("home battery", "all of"), ("", "all of"), ("!", "all of"), ("xyzzy", "xyzzy")],
)
def test_says_what_no_icon_has(notebook, question, says):
    with pytest.raises(icons.IconError, match=says):
        notebook.find(question, NAMES)


def test_every_name_is_found_by_itself(notebook):
    names = list(icons.names(data.path("icons")))
    for name in names[::200]:
        assert name in notebook.find(name.replace("-", " "), names)


def test_sheet_holds_all_pictures(notebook):
    pictures = np.full((5, 8, 8), 255, "uint8")
    sheet = notebook.sheet(pictures, columns=3, gap=2)
    assert sheet.shape == (20, 30)
    assert (sheet == 0).sum() == 5 * 64


def test_reads_a_folder_and_lists_what_is_broken(notebook, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "square.svg").write_text(SQUARE)
    (tmp_path / "cut.svg").write_text(SQUARE[:60])
    (tmp_path / "note.txt").write_text("no icon")
    names, pictures, broken = notebook.read_folder(tmp_path, side=16)
    assert names == ["square"] and pictures.shape == (1, 16, 16)
    assert (pictures[0] > 127).sum() == 64
    assert len(broken) == 1 and broken[0].startswith("cut.svg")


def test_a_folder_without_icons_says_so(notebook, tmp_path):
    with pytest.raises(icons.IconError, match="no SVG file"):
        notebook.read_folder(tmp_path)
