"""How the notebooks are run under test: without a network, from a clean generated/, with their times."""

import os
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from book import code_cells, read, tags
from execute import QUIET

NO_NETWORK = Path(__file__).parent / "no_network"


def pytest_configure(config: pytest.Config) -> None:
    os.environ.update(QUIET)
    # Every kernel and process that a test starts inherits a cut network.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(NO_NETWORK), os.environ.get("PYTHONPATH")]))
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # the cores are shared: a core a worker
        cores = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
        os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(cores)
    for variable in ("COOKBOOK_MIRROR", "COOKBOOK_ZOO", "LIVE", "KERAS_BACKEND"):
        os.environ.pop(variable, None)
    # How fast hypothesis invents its input, on shared cores, says nothing about the book. Deadlines stay.
    settings.register_profile("shared cores", suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared cores")
    # As a plugin of its own: the hooks of a conftest do not reach files outside its folder.
    config.pluginmanager.register(NotebookRuns(), "notebook-runs")


class NotebookRuns:
    """What nbval does not do: a clean generated/ for each notebook, and a summary of times."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.file: Path | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.path.suffix == ".ipynb":
                item.add_marker("slow")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Each file starts from an empty generated/, so none can lean on what another left."""
        if item.path != self.file:
            self.file = item.path
            self.generated = tempfile.TemporaryDirectory(prefix="cookbook-", ignore_cleanup_errors=True)
            os.environ["COOKBOOK_GENERATED"] = self.generated.name

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        path = report.nodeid.split("::")[0]
        if path.endswith(".ipynb"):
            self.seconds[path] += report.duration

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if not self.seconds:
            return
        terminalreporter.section("notebooks")
        for path, seconds in sorted(self.seconds.items()):
            compared, printing = compared_outputs(terminalreporter.config.rootpath / path)
            terminalreporter.line(
                f"{seconds:6.1f} s   {compared:3} of {printing:3} outputs compared   {Path(path).stem}"
            )


def compared_outputs(path: Path) -> tuple[int, int]:
    """How many of a notebook's printing cells nbval compares, and how many there are."""
    printing = [cell for cell in code_cells(read(path)) if cell.outputs]
    return sum("nbval-ignore-output" not in tags(cell) for cell in printing), len(printing)
