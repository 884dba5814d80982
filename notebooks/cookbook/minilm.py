"""The small sentence encoder of the zoo, 06/minilm: texts to unit vectors. Notebook 06.1 builds it step by step.

all-MiniLM-L6-v2: Reimers and Gurevych, Sentence-BERT, 2019; Wang et al., MiniLM, 2020; Apache-2.0.
Call `run.setup(keras=True)` before this module is imported: it imports Keras.
"""

import string
import unicodedata
from collections.abc import Sequence
from functools import cache

import keras
import numpy as np
from keras import layers, ops
from tqdm.auto import tqdm

from cookbook import zoo

SIZE = 384
TOKENS = 128  # the most that are read of a text


class Encoder:
    """Call it with texts: it returns their unit vectors, so that a product of two is their cosine."""

    def __init__(self, name: str = "06/minilm"):
        """Read the encoder from the zoo; raises cookbook.zoo.ZooError where it is missing or changed."""
        arrays = zoo.load(name)
        words = arrays["vocabulary"].tobytes().decode().split("\n")
        self.vocabulary = {word: number for number, word in enumerate(words)}
        self.model = network(arrays)

    def __call__(self, texts: Sequence[str], *, batch: int = 64) -> np.ndarray:
        """The vectors of texts, float32 (len(texts), SIZE); texts of like length go together, to spare padding."""
        rows = [wordpieces(text, self.vocabulary) for text in texts]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        vectors = np.empty((len(rows), SIZE), "float32")
        for start in tqdm(range(0, len(order), batch), desc="encode", disable=len(order) <= batch):
            part = order[start : start + batch]
            steps = -(-len(rows[part[-1]]) // 16) * 16  # JAX compiles each length anew
            tokens = keras.utils.pad_sequences([rows[row] for row in part], steps, padding="post")
            vectors[part] = ops.convert_to_numpy(self.model(tokens, training=False))
        return vectors


def wordpieces(text: str, vocabulary: dict[str, int]) -> list[int]:
    """A text as numbers, at most TOKENS: [CLS], the pieces of its words, [SEP]."""
    words = "".join(map(_plain, unicodedata.normalize("NFD", text.lower()))).split()
    numbers = [number for word in words for number in pieces(word, vocabulary)]
    return [vocabulary["[CLS]"], *numbers[: TOKENS - 2], vocabulary["[SEP]"]]


def pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    """The longest beginning that the vocabulary has, then that of the rest, which is spelled with ##."""
    if len(word) > 100:
        return [vocabulary["[UNK]"]]
    found, mark = [], ""
    while word:
        end = next((end for end in range(len(word), 0, -1) if mark + word[:end] in vocabulary), None)
        if end is None:
            return [vocabulary["[UNK]"]]
        found.append(vocabulary[mark + word[:end]])
        word, mark = word[end:], "##"
    return found


@cache
def _plain(character: str) -> str:
    """What BERT reads: nothing where there is an accent, a word of its own where there is a mark."""
    kind = unicodedata.category(character)
    if character.isspace():
        return " "
    if kind in ("Mn", "Cc", "Cf", "Co"):
        return ""
    alone = kind[0] == "P" or character in string.punctuation or "\u3400" <= character <= "\u9fff"
    return f" {character} " if alone else character


def network(arrays: dict[str, np.ndarray]) -> keras.Model:
    """The Transformer: from token numbers (n, steps), 0 where a text has ended, to unit vectors (n, SIZE).

    arrays: the weights by the paths of the model's variables; whole numbers have a scale beside them.
    """
    tokens = keras.Input((None,), dtype="int32")
    mask = tokens != 0
    position = ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1
    x = layers.Embedding(*arrays["words/embeddings"].shape, name="words")(tokens)
    x = x + layers.Embedding(*arrays["positions/embeddings"].shape, name="positions")(position)
    x = layers.LayerNormalization(epsilon=1e-12, name="embedded")(x)
    for number in range(6):
        x = _block(x, mask[:, None], number)
    mean = layers.GlobalAveragePooling1D()(x, mask=mask)
    model = keras.Model(tokens, ops.normalize(mean), name="minilm")
    for variable in model.weights:
        value = arrays[variable.path] * arrays.get(f"{variable.path}.scale", np.float32(1))
        variable.assign(value.reshape(variable.shape))
    return model


def _block(x, mask, number: int):
    """A block of BERT: each token looks at all others, and is then worked on alone."""
    seen = layers.MultiHeadAttention(12, SIZE // 12, name=f"attention_{number}")(x, x, attention_mask=mask)
    x = layers.LayerNormalization(epsilon=1e-12, name=f"attended_{number}")(x + seen)
    wide = layers.Dense(4 * SIZE, activation="gelu", name=f"wide_{number}")(x)
    narrow = layers.Dense(SIZE, name=f"narrow_{number}")(wide)
    return layers.LayerNormalization(epsilon=1e-12, name=f"block_{number}")(x + narrow)
