"""The pages and files around the notebooks: made pages are up to date, links lead somewhere, the lock is whole."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import book
import index
from book import ROOT, contents

PAGES = [ROOT / "README.md", *ROOT.glob("*/README.md")]


def test_the_list_is_whole():
    assert len(contents()) == 39
    assert sum(len(recipes) for recipes in contents().values()) == 101


@pytest.mark.parametrize("path", index.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_made_pages_are_up_to_date(path):
    assert path.read_text("utf8") == index.PAGES[path](), "run `make index`"


@pytest.mark.parametrize("name", index.GALLERY)
def test_gallery_shows_the_stored_figures(name):
    assert (index.PICTURES / name).read_bytes() == index.picture(*index.GALLERY[name])[0], "run `make index`"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text("utf8")):
        target = unquote("".join(target).split("#")[0])
        if target and not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_links_between_notebooks_lead_somewhere():
    for path in book.built():
        text = "\n".join(cell.source for cell in book.read(path).cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\(([^)\s]+\.ipynb)\)", text):
            assert unquote(target).removesuffix(".ipynb") in contents(), f"{target} in {path.stem}"


def test_the_lock_has_hashes_and_no_addresses():
    lines = (ROOT / "requirements.txt").read_text("utf8").splitlines()
    packages = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
    assert len(packages) > 100
    for number in packages:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", lines[number]), lines[number]
        assert "--hash=sha256:" in lines[number + 1], lines[number]
    assert not any(re.search(r"https?://|--index|--find-links|@ ", line) for line in lines)


def test_the_lock_holds_what_was_chosen():
    chosen = re.findall(r"^([a-z][\w-]+)", (ROOT / "requirements.in").read_text("utf8"), re.MULTILINE)
    locked = (ROOT / "requirements.txt").read_text("utf8")
    for name in chosen:
        assert re.search(rf"^{re.escape(name)}(\[.*\])?==", locked, re.MULTILINE | re.IGNORECASE), name
    for line in (ROOT / "requirements.in").read_text("utf8").splitlines():
        assert not line or "#" in line, f"a word on why: {line}"


def test_nothing_else_stands_at_the_top():
    expected = {
        "README.md", "LICENSE", "Makefile", "requirements.in", "requirements.txt", "pyproject.toml", ".ci", ".github",
        ".gitignore", "notebooks", "data", "generated", "zoo", "tests",
    }  # fmt: skip
    tools = {".git", ".venv", ".pytest_cache", ".ruff_cache", ".hypothesis", ".benchmarks", "venv", "shared"}
    assert {path.name for path in Path(ROOT).iterdir()} - tools == expected


def test_definitions_of_a_notebook_run_no_other_cell(tmp_path, monkeypatch):
    import nbformat

    cells = [
        "import math\nWIDTH = 3\nlower = 1 / 0",
        "def area(r):\n    return math.pi * r * WIDTH",
        "raise SystemExit",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "04.2 Test.ipynb")
    monkeypatch.setattr(book, "find", lambda number: tmp_path / "04.2 Test.ipynb")
    module = book.definitions("04.2")
    assert module.area(2) == pytest.approx(18.85, abs=0.01)
    assert not hasattr(module, "lower")
