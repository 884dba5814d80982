"""Load, save and describe the trained models of zoo/.

A model is a folder zoo/NN/NAME with its weights (model.keras, or arrays.npz) and card.json, which
says what it was trained on, how, and how good it is. Nothing is ever unpickled.
"""

import io
import json
import os
import platform
import zipfile
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pooch

from cookbook import data, paths

LIMIT = 25_000_000  # bytes a file
LIBRARIES = ("keras", "tensorflow", "jax", "numpy", "scikit-learn")


class ZooError(RuntimeError):
    """A model that is missing, cut or changed. The message names the file and the cure."""


def card(name: str) -> dict:
    """The card of a model such as "04/films"."""
    file = paths.zoo() / name / "card.json"
    if not file.is_file():
        raise ZooError(
            f"{paths.short(file)} is missing: the zoo has no model {name!r}. Restore it with: "
            "git checkout zoo, or train it: set TRAIN = True in its notebook."
        )
    return json.loads(file.read_text("utf8"))


def names() -> list[str]:
    """All models of the zoo, sorted."""
    return sorted(file.parent.relative_to(paths.zoo()).as_posix() for file in paths.zoo().glob("*/*/card.json"))


def load(name: str, custom_objects: dict | None = None):
    """Load a model: a keras.Model, or a dict of arrays, as it was saved.

    custom_objects: the classes that a Keras model of a notebook needs, by name.
    Raises ZooError where the weights are missing or are not those that the card describes.
    """
    described = card(name)["weights"]
    file = paths.zoo() / name / described["file"]
    cure = "Restore it with: git checkout zoo, or train it: set TRAIN = True in its notebook."
    if not file.is_file():
        raise ZooError(f"{paths.short(file)} is missing. {cure}")
    if pooch.file_hash(str(file)) != described["sha256"]:
        raise ZooError(f"{paths.short(file)} was cut or changed: its sha256 is not the card's. {cure}")
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return {key: _widen(arrays[key]) for key in arrays}
    import keras

    return keras.saving.load_model(file, custom_objects=custom_objects, safe_mode=True)


def save(
    name: str,
    model,
    *,
    title: str,
    notebook: str,
    datasets: list[str],
    seed: int,
    epochs: int,
    seconds: float,
    metrics: dict[str, dict[str, float]],
    float16: bool = False,
) -> dict:
    """Save a model and its card; return the card.

    name: "NN/NAME". model: a keras.Model, or a dict of arrays. title: one line on what it is.
    notebook: its number, such as "04.2". datasets: names in data/manifest.json; their licences and
    hashes go onto the card. seconds: wall time of the training. metrics: what was measured on
    held-out data, as {"auc": {"value": 0.92, "baseline": 0.79}}. float16: halve the file; the
    metrics must be those of the halved weights.

    Raises ZooError where the file would be over 25 MB.
    """
    folder = paths.zoo() / name
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, dict):
        file = folder / "arrays.npz"
        arrays = {key: _narrow(np.asarray(value), float16) for key, value in model.items()}
        np.savez_compressed(file, **arrays)
        parameters = sum(value.size for value in arrays.values())
    else:
        file = folder / "model.keras"
        model.save(file)
        _tidy_keras_file(file, float16)
        parameters = model.count_params()
    if file.stat().st_size > LIMIT:
        size = file.stat().st_size
        file.unlink()
        raise ZooError(f"{paths.short(file)} would be {size / 1e6:.0f} MB, over the {LIMIT / 1e6:.0f} MB limit.")
    described = {
        "title": title,
        "notebook": notebook,
        "command": f"make train NB={notebook}",
        "data": [_provenance(each) for each in datasets],
        "seed": seed,
        "epochs": epochs,
        "seconds": round(seconds, 1),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {library: version(library) for library in LIBRARIES},
        "parameters": int(parameters),
        "metrics": metrics,
        "weights": {"file": file.name, "bytes": file.stat().st_size, "sha256": pooch.file_hash(str(file))},
    }
    (folder / "card.json").write_text(json.dumps(described, indent=2) + "\n", "utf8")
    return described


def check(name: str, tolerance: float = 0.005, **measured: float) -> None:
    """Assert that what a notebook has just measured is what the model's card says.

    Raises ZooError naming the metric that is off by more than `tolerance`.
    """
    claimed = card(name)["metrics"]
    for metric, value in measured.items():
        if abs(value - claimed[metric]["value"]) > tolerance:
            raise ZooError(f"{name}: {metric} is {value:.3f}, but its card says {claimed[metric]['value']:.3f}.")


def _provenance(name: str) -> dict[str, str]:
    entry = data.describe(name)
    return {"name": name, "licence": entry["licence"], "hash": (entry.get("sample") or entry["full"])["hash"]}


def _narrow(array: np.ndarray, float16: bool) -> np.ndarray:
    return array.astype(np.float16) if float16 and array.dtype.kind == "f" else array


def _widen(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _tidy_keras_file(file: Path, float16: bool) -> None:
    """Leave the optimizer out of a .keras file: its state is twice the model, and nobody trains on from a zoo.

    float16: store the weights so; Keras casts them back when it loads.
    """
    with zipfile.ZipFile(file) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    config = json.loads(members["config.json"])
    config.pop("compile_config", None)
    members["config.json"] = json.dumps(config).encode()
    weights, tidy = io.BytesIO(members["model.weights.h5"]), io.BytesIO()
    with h5py.File(weights) as source, h5py.File(tidy, "w") as target:

        def copy(path: str, item: h5py.Group | h5py.Dataset) -> None:
            if path.split("/")[0] == "optimizer":
                return
            if isinstance(item, h5py.Dataset):
                target[path] = _narrow(item[()], float16)
            else:
                target.require_group(path)
            target[path].attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    members["model.weights.h5"] = tidy.getvalue()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
