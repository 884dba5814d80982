"""The training branch of every notebook runs: briefly, in a copy, with its own zoo folder."""

import os
import shutil
from pathlib import Path

import pytest

from book import built, code_cells, read, tags
from cookbook import paths, zoo
from execute import execute

pytestmark = pytest.mark.slow


def trains(path: Path) -> bool:
    return any("TRAIN" in cell.source and "parameters" not in tags(cell) for cell in code_cells(read(path)))


def shortened(path: Path):
    """A copy with TRAIN = True and the smoke edits of its cells applied.

    Checks against the card of the full training are left out: a brief training cannot pass them.
    """
    notebook = read(path)
    for cell in code_cells(notebook):
        if "parameters" in tags(cell):
            cell.source = cell.source.replace("TRAIN = False", "TRAIN = True")
        for old, new in cell.metadata.get("smoke", {}).items():
            assert old in cell.source, f"a stale smoke edit in {path.stem}: {old!r}"
            cell.source = cell.source.replace(old, new)
    return notebook


@pytest.mark.parametrize("path", [p for p in built() if trains(p)], ids=lambda path: path.stem.split()[0])
def test_training_branch(path, tmp_path, monkeypatch):
    own = tmp_path / "zoo"
    shutil.copytree(paths.ROOT / "zoo", own)
    before = {name: (own / name / "card.json").stat().st_mtime_ns for name in zoo.names()}
    monkeypatch.setenv("COOKBOOK_ZOO", str(own))
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "generated"))
    execute(shortened(path))
    number = path.stem.split()[0]
    cards = {name: zoo.card(name) for name in zoo.names()}
    mine = {name for name, card in cards.items() if card["notebook"] == number}
    saved = {name for name in mine if (own / name / "card.json").stat().st_mtime_ns != before.get(name)}
    assert saved, "a notebook that trains saves a model"
    missing = {name for name in mine - saved if cards[name]["epochs"]}  # 0: converted from a download
    assert not missing, f"not saved: {missing}"
    assert os.environ["COOKBOOK_ZOO"] == str(own)
