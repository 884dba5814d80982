"""The book as data: its table of contents, its notebooks, and what stands in their cells."""

import ast
import csv
import types
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


@cache
def contents() -> dict[str, list[tuple[str, str]]]:
    """All notebooks of the book, "03.1 Title", each with its recipes as (number, title)."""
    table: dict[str, list[tuple[str, str]]] = {}
    with open(ROOT / "tests" / "recipes.tsv", encoding="utf8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            table.setdefault(row["notebook"], []).append((row["recipe"], row["title"]))
    return table


def built() -> list[Path]:
    """The notebooks that stand, in the order of the book."""
    return [path for name in contents() if (path := NOTEBOOKS / f"{name}.ipynb").is_file()]


def find(number: str) -> Path:
    """The notebook with this number ("03.1").

    Raises SystemExit with the numbers that there are.
    """
    for path in built():
        if path.stem.split()[0] == number:
            return path
    raise SystemExit(f"There is no notebook {number!r}. There are: {', '.join(p.stem.split()[0] for p in built())}.")


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook, as format 4."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def definitions(number: str) -> types.ModuleType:
    """What a notebook defines, as a module: its imports, functions, classes and CONSTANTS.

    So a test or a benchmark uses the very code that the reader sees, and runs no other cell.
    """
    kept = []
    for cell in code_cells(read(find(number))):
        kept += [statement for statement in ast.parse(cell.source).body if _defines(statement)]
    module = types.ModuleType(f"notebook_{number.replace('.', '_')}")
    exec(compile(ast.Module(kept, []), str(find(number)), "exec"), module.__dict__)
    return module


def _defines(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        targets = [each for target in statement.targets for each in getattr(target, "elts", [target])]  # A, B = 1, 2
        return all(isinstance(target, ast.Name) and target.id.isupper() for target in targets)
    return isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
