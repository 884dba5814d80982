"""Subwords: any text as numbers below a few thousand, and back, by byte-pair encoding over UTF-8.

Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword Units, ACL 2016; over bytes as
in Radford et al.: Language Models are Unsupervised Multitask Learners, 2019. Notebook 08.3 learns the merges.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import regex

from cookbook import zoo

PAD, START, END = 0, 1, 2
BYTES = 3  # byte b has the number BYTES + b
MERGES = BYTES + 256  # the first merge has this number

# Letters with their accents, digits, or other marks, each with the space before it; else white space. A run is cut
# after 30 characters, so that no text takes time by the square of its length.
_PART = regex.compile(
    r" ?(?:[\p{L}\p{M}]{1,30}(?:['’][\p{L}\p{M}]{1,30})?|\p{N}{1,30}|[^\s\p{L}\p{M}\p{N}]{1,30})"
    r"|\s{1,30}(?!\S)|\s{1,30}"
)


def parts(text: str) -> list[str]:
    """The words, numbers, marks and white space of a text. Joined they are the text; no merge crosses their bounds."""
    return _PART.findall(text)


def byte_numbers(part: str) -> tuple[int, ...]:
    """The numbers of the UTF-8 bytes of a text. Raises ValueError for half of a surrogate pair, which has none."""
    try:
        return tuple(byte + BYTES for byte in part.encode())
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text holds {part[error.start]!r}, half of a surrogate pair, which is no character: UTF-8 cannot "
            "encode it. Decode your input with errors='replace'."
        ) from None


def join(numbers: tuple[int, ...], pair: tuple[int, int], made: int) -> tuple[int, ...]:
    """The numbers with each occurrence of a pair, from the left, replaced by the number `made`."""
    joined, place = [], 0
    while place < len(numbers):
        found = numbers[place : place + 2] == pair
        joined.append(made if found else numbers[place])
        place += 1 + found
    return tuple(joined)


class Subwords:
    """A tokenizer: 0 is padding, 1 the start, 2 the end, then 256 bytes, then the merges in the order of learning."""

    def __init__(self, merges: np.ndarray):
        """merges: integers (n, 2), row i the two numbers that became number MERGES + i.

        Raises ValueError where they are no such table.
        """
        merges = np.asarray(merges)
        if merges.shape[1:] != (2,) or merges.dtype.kind not in "iu":
            raise ValueError(f"Merges are integers of shape (n, 2), not {merges.dtype} of shape {merges.shape}.")
        self.size = MERGES + len(merges)
        self._spelling = [b""] * BYTES + [bytes([byte]) for byte in range(256)]
        self._made: dict[tuple[int, int], int] = {}
        for made, (left, right) in enumerate(merges.tolist(), MERGES):
            if not (min(left, right) >= BYTES and max(left, right) < made) or (left, right) in self._made:
                raise ValueError(f"Merge {made} joins {left} and {right}: not two earlier numbers, or a second time.")
            self._made[left, right] = made
            self._spelling.append(self._spelling[left] + self._spelling[right])
        self._merged = lru_cache(100_000)(self.merge)  # words come again and again

    @classmethod
    def load(cls, name: str = "08/subwords") -> "Subwords":
        """The tokenizer of the zoo. Raises cookbook.zoo.ZooError where it is missing or changed."""
        return cls(zoo.load(name)["merges"])

    def merge(self, part: str) -> tuple[int, ...]:
        """The numbers of one part: its bytes, and of all neighbours again and again the earliest learned merge."""
        numbers = byte_numbers(part)
        while len(numbers) > 1:
            pair = min(pairwise(numbers), key=lambda pair: self._made.get(pair, self.size))
            if pair not in self._made:
                break
            numbers = join(numbers, pair, self._made[pair])
        return numbers

    def encode(self, text: str) -> list[int]:
        """The numbers of a text, without start and end. Raises ValueError for half of a surrogate pair."""
        return [number for part in parts(text) for number in self._merged(part)]

    def decode(self, numbers) -> str:
        """The text of numbers: all that `encode` took, to the character.

        Padding, start and end are left out; bytes that are no UTF-8, as a model may write, become U+FFFD.
        Raises ValueError for a number outside the vocabulary.
        """
        return b"".join(map(self._bytes, numbers)).decode(errors="replace")

    def pieces(self, text: str) -> list[str]:
        r"""What each number of a text stands for, to look at: a part of a character is written as bytes, \xf0."""
        return [self._bytes(number).decode(errors="backslashreplace") for number in self.encode(text)]

    def _bytes(self, number: int) -> bytes:
        if not 0 <= number < self.size:
            raise ValueError(f"There is no subword {number}: numbers go from 0 to {self.size - 1}.")
        return self._spelling[number]
