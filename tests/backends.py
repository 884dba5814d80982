"""Run some code on another backend of Keras, in a process of its own."""

import importlib.util
import os
import subprocess
import sys

import pytest

from cookbook import paths

OTHERS = pytest.mark.parametrize("backend", ["jax", "torch"])


def run(code: str, backend: str) -> None:
    """Run code that may import cookbook and book, and see that it ends well; skip where the backend is missing."""
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed: pip install {backend}, to run the models on it")
    folders = [str(paths.ROOT / "notebooks"), str(paths.ROOT / "tests" / "tools"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(folders)}
    code += "\nimport keras\nprint(keras.backend.backend())"
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == backend
