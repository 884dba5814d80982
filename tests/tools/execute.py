"""Execute notebooks in a clean kernel, the one right way.

python tests/tools/execute.py 03.1 04.2     store the outputs in the notebooks
python tests/tools/execute.py               … of all notebooks
python tests/tools/execute.py --html 03.1   leave the notebook alone; write generated/html/…
python tests/tools/execute.py --train 04.2  train its models anew (TRAIN = True) and save them
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
import papermill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from book import NOTEBOOKS, ROOT, built, code_cells, find, read

# A progress bar is for the person who waits; a stored page has no use for it. Threads that wait actively slow
# each other down where another notebook runs beside.
QUIET = {
    "TQDM_DISABLE": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def execute(notebook: nbformat.NotebookNode, timeout: int = 1200) -> nbformat.NotebookNode:
    """Run all cells in a new kernel with notebooks/ as working folder; drop what only this run knows."""
    os.environ.update(QUIET)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    folder = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=folder).execute()
    return normalise(notebook)


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep of the metadata what a reader needs, so that a second run changes nothing else."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        for key in set(cell.metadata) - {"tags", "smoke"}:
            del cell.metadata[key]
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list) -> list:
    """Neighbouring pieces of one stream as one: where they were cut is chance."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def store(path: Path) -> None:
    nbformat.write(execute(read(path)), path)


def html(path: Path) -> Path:
    """Execute a copy; return its HTML page under generated/html/."""
    page = ROOT / "generated" / "html" / f"{path.stem}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(HTMLExporter().from_notebook_node(execute(read(path)))[0], "utf8")
    return page


def train(path: Path) -> Path:
    """Execute a copy with TRAIN = True: it trains its models and saves them in the zoo."""
    copy = ROOT / "generated" / "trained" / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(path, copy, {"TRAIN": True}, cwd=NOTEBOOKS, kernel_name="python3")
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", metavar="NB", help="numbers, such as 03.1; all if none is given")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--html", dest="action", action="store_const", const=html, default=store)
    how.add_argument("--train", dest="action", action="store_const", const=train)
    options = parser.parse_args()
    for path in [find(number) for number in options.notebooks] or built():
        start = time.perf_counter()
        try:
            made = options.action(path)
        except (CellExecutionError, papermill.PapermillExecutionError) as error:
            raise SystemExit(f"{path.name} failed:\n{error}") from None
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s" + (f", see {made}" if made else ""), flush=True)


if __name__ == "__main__":
    main()
