"""Set up a notebook: seeds, quiet logs, the look of its figures."""

import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod

import numpy as np
from tqdm.auto import tqdm

from cookbook import show


def setup(seed: int, *, keras: bool = False) -> None:
    """Seed Python, NumPy and (with keras=True) Keras, and give figures the look of the book.

    Call it before `import keras`: TensorFlow reads its log level when it is imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    random.seed(seed)
    np.random.seed(seed)
    show.use_style()
    if os.environ.get("TQDM_DISABLE"):  # the bars of notebooks do not look at it
        tqdm.__init__ = partialmethod(_without_bar, tqdm.__init__)
    if keras:
        with _quiet_stderr():
            import keras as library

            library.utils.set_random_seed(seed)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # or it complains about many small models


def _without_bar(bar: tqdm, begin: Callable, *arguments, **options) -> None:
    """Begin a progress bar that shows nothing, whatever its caller says, while TQDM_DISABLE is set."""
    hidden = {"disable": True} if os.environ.get("TQDM_DISABLE") else {}
    begin(bar, *arguments, **options | hidden)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence file descriptor 2: TensorFlow 2.21 greets there before it reads its log level."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
