"""Where things are: the folders of the repository."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"


def generated(*parts: str) -> Path:
    """A path under generated/ (or $COOKBOOK_GENERATED); its parent folder is made."""
    path = Path(os.environ.get("COOKBOOK_GENERATED") or ROOT / "generated").joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def zoo() -> Path:
    """The folder of the trained models: zoo/, or $COOKBOOK_ZOO."""
    return Path(os.environ.get("COOKBOOK_ZOO") or ROOT / "zoo")


def short(path: Path) -> str:
    """The path as a reader sees it: relative to the repository where it lies inside."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
