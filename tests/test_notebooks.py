"""The rules that every notebook keeps (DESIGN, sections 2 and 5)."""

import json
import re
from pathlib import Path

import pytest
from conftest import compared_outputs

from book import built, code_cells, contents, read, tags
from cookbook import zoo

KNOWN_TAGS = {"parameters", "nbval-ignore-output", "raises-exception", "hide-input"}
MACHINE_PATH = re.compile(r"/(?:root|work|tmp|Users|home|opt|usr)/\w")
KEY = re.compile(r"(?:api_?key|secret|token|password)\s*=\s*['\"]\w{8,}", re.IGNORECASE)
LONG = {"04.1", "11.1", "12.1", "12.2", "16.1"}  # may take 90 s, and as many cells as they need


@pytest.fixture(params=built(), ids=lambda path: path.stem.split()[0])
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return read(path)


def prose(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def test_executed_from_top_to_bottom(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_shows_no_error_and_no_stderr(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.get("text")


def test_names_no_machine_path_and_no_key(path):
    text = path.read_text("utf8")
    assert not (found := MACHINE_PATH.search(text)), found
    assert not (found := KEY.search(text)), found


def test_has_the_parts_of_a_notebook(path, notebook):
    number = path.stem.split()[0]
    text = prose(notebook)
    assert text[0].startswith(f"# {path.stem}\n")
    assert "|" in text[0], "the title cell holds the table of recipes, data, models, times"
    headings = re.findall(r"^## (.+)$", "\n".join(text), re.MULTILINE)
    recipes = [f"{number} {title}" for number, title in contents()[path.stem]]
    assert [heading for heading in headings if heading[0].isdigit()] == recipes
    assert headings[-1] == "Exercises"
    assert set(headings) <= {*recipes, "Today", "Exercises"}
    assert len(re.findall(r"^\d\. ", text[-1], re.MULTILINE)) == 3, "three exercises"
    for part in ("Problem", "Solution", "Discussion"):
        assert sum(f"**{part}.**" in each for each in text) == len(recipes), f"a {part} for each recipe of {number}"


def test_set_up_cell_comes_first(notebook):
    setup = code_cells(notebook)[0]
    assert tags(setup) == ["parameters"]
    assert "run.setup(seed=" in setup.source
    assert re.search(r"^TRAIN = False", setup.source, re.MULTILINE)


def test_has_the_size_of_a_notebook(path, notebook):
    """Limits for a notebook of up to four recipes; those with more may grow, up to 80 cells."""
    recipes = len(contents()[path.stem])
    cells, limit = notebook.cells, 45 if recipes <= 2 else 80
    assert 20 <= len(cells) <= limit
    words = sum(len(text.split()) for text in prose(notebook))
    assert 600 <= words <= (1500 if recipes <= 2 else 2500)
    assert path.stat().st_size < 500_000
    for cell in code_cells(notebook):
        lines = cell.source.splitlines()
        assert len(lines) <= 25, cell.source
        assert all(len(line) <= 120 for line in lines), cell.source
        assert not any(line.startswith(("!", "%")) for line in lines), "no magic lines"


def test_each_code_cell_is_introduced(notebook):
    """At most two code cells follow one another without a word."""
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in notebook.cells)
    assert "cccc" not in kinds
    assert kinds.count("m") >= 0.6 * kinds.count("c")


def test_figures_have_alt_text(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for kind in ("image/png", "image/jpeg", "image/gif"):
                if kind in output.get("data", {}):
                    assert len(output.metadata.get(kind, {}).get("alt", "").split()) >= 5, cell.source


def test_figures_are_small_files(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for kind in ("image/png", "image/jpeg"):
                content = output.get("data", {}).get(kind, "")
                assert len(content) * 3 / 4 <= 110_000, f"{len(content) * 3 // 4:,} bytes: show it with fewer colours"


def test_tags_are_known_and_smoke_edits_apply(notebook):
    for cell in code_cells(notebook):
        assert set(tags(cell)) <= KNOWN_TAGS
        for old in cell.metadata.get("smoke", {}):
            assert old in cell.source, f"a stale smoke edit: {old!r}"


def test_what_is_not_compared_is_asserted(path, notebook):
    compared, printing = compared_outputs(path)
    assert compared >= 0.85 * printing, f"{compared} of {printing} printing cells are compared"
    cells = code_cells(notebook)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if "nbval-ignore-output" in tags(cell):
            assert following is not None, cell.source
            assert re.search(r"assert|zoo\.check", following.source), cell.source


def test_every_model_of_the_zoo_is_measured_by_a_notebook():
    checks = "\n".join(cell.source for path in built() for cell in code_cells(read(path)))
    for name in zoo.names():
        assert f'zoo.check("{name}"' in checks, name


def test_only_notebooks_of_the_list_are_there():
    here = {path.stem for path in Path(built()[0].parent).glob("*.ipynb")}
    assert here <= set(contents())


def test_metadata_is_minimal(notebook):
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert "widget" not in json.dumps(notebook.metadata)
