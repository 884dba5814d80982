"""Quick, Draw!: fifty million drawings by people who had twenty seconds each, in 345 categories.

    cats = list(QuickDraw().drawings("cat", count=1000))  # stops the download after a thousand

A category is one file in a public bucket, of up to 200 MB, in one of two formats. This module reads and writes both,
drawing by drawing, in the memory that one drawing needs:

- binary: a header (key, country, recognised, time, number of strokes), then for each stroke the number of its points,
  their x and their y, a byte each;
- ndjson: a JSON object a line, which also holds the word; "simplified" like the binary one, or "raw" as it was drawn.

Both are described at github.com/googlecreativelab/quickdraw-dataset. Either may be gzipped.
"""

import functools
import gzip
import io
import itertools
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
import requests
from PIL import Image, ImageDraw

from cookbook import data, paths
from cookbook.sources import polite

HOME = "https://storage.googleapis.com/quickdraw_dataset/full/"
FILES = {"binary": "binary/{}.bin", "simplified": "simplified/{}.ndjson", "raw": "raw/{}.ndjson"}
BITMAPS = "numpy_bitmap/{}.npy"

HEADER = struct.Struct("<Q2sbIH")  # key, country, recognised, seconds since 1970, number of strokes
COUNT = struct.Struct("<H")
POINTS = 1 << 16  # more in one drawing is no drawing
LINE = 1 << 22  # bytes of a line of ndjson, at the most
GZIP = b"\x1f\x8b"


class QuickDrawError(RuntimeError):
    """A file or an answer that is no whole list of drawings. The message is one clear sentence, or two."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawing. word: what was asked for, "" where the format does not say. seconds: when, since 1970 UTC.

    recognised: whether the game guessed it. strokes: arrays (points, 2) of x and y, y downwards; uint8 where they are
    simplified (the longer side is 255), else float32.
    """

    word: str
    key: int
    country: str
    recognised: bool
    seconds: int
    strokes: tuple[np.ndarray, ...]


class QuickDraw:
    """A polite visitor of the bucket."""

    def __init__(self, home: str = HOME, *, pause: float = 1.0, retries: int = 5, timeout: float = 30):
        """home: the bucket. pause: the least time between two requests, in seconds. retries: how often a request that
        failed is tried again, with growing pauses, or with the server's Retry-After. timeout: in seconds."""
        self.home = home.rstrip("/") + "/"
        self.session = polite.session(pause=pause, retries=retries, timeout=timeout)

    def drawings(self, category: str, count: int | None = None, *, form: str = "binary") -> Iterator[Drawing]:
        """The first `count` drawings of a category such as "cat" (None: all), while they are downloaded.

        form: "binary", "simplified" or "raw". The connection is closed with the iterator, or after the last drawing.

        Raises ValueError for a form or a count that cannot be; QuickDrawError, while you iterate, where there is no
        such category, no good answer, or a connection that breaks.
        """
        url = self._url(category, form)
        if count is not None and count < 1:
            raise ValueError(f"A download has at least 1 drawing, not {count}.")
        return self._drawings(url, category, count)

    def bitmaps(self, category: str, count: int | None = None) -> np.ndarray:
        """The first `count` pictures of a category (None: all), as Quick, Draw! made them.

        Returns uint8 (count, 28, 28), 255 is ink. Raises what `drawings` does.
        """
        with self._open(self.home + BITMAPS.format(quote(category)), category) as stream:
            return read_bitmaps(stream, count)

    def download(self, category: str, form: str = "binary") -> Path:
        """The whole file of a category, fetched once into generated/quickdraw; a download that was cut goes on.

        Raises ValueError for a form that cannot be, data.DataError where it fails.
        """
        url = self._url(category, form)
        target = paths.generated("quickdraw", f"{category}-{form}{Path(url).suffix}")
        return data.download(url, target, session=self.session)

    def _url(self, category: str, form: str) -> str:
        if form not in FILES:
            raise ValueError(f"The forms are {', '.join(FILES)}, not {form!r}.")
        if not category.strip() or not set("/\\").isdisjoint(category):
            raise ValueError(f"A category is a word such as cat or sea turtle, not {category!r}.")
        return self.home + FILES[form].format(quote(category))

    def _drawings(self, url: str, category: str, count: int | None) -> Iterator[Drawing]:
        reader = read_binary if url.endswith(".bin") else read_ndjson
        with self._open(url, category) as stream:
            yield from itertools.islice(reader(stream, category), count)

    @contextmanager
    def _open(self, url: str, category: str) -> Iterator[BinaryIO]:
        """What the server sends, as a stream. Raises QuickDrawError where it is not there, or breaks off."""
        try:
            with self.session.get(url, stream=True, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.status_code == requests.codes.not_found:
                    raise QuickDrawError(f"Quick, Draw! has no category {category!r}: there is nothing at {url}.")
                answer.raise_for_status()
                yield io.BufferedReader(_Blocks(answer.iter_content(1 << 16)))
        except requests.RequestException as error:
            raise QuickDrawError(
                f"{url} gave no good answer, or broke off ({type(error).__name__}). Check the connection and try again."
            ) from error


class _Blocks(io.RawIOBase):
    """A stream over blocks of bytes."""

    def __init__(self, blocks: Iterator[bytes]):
        self.blocks, self.rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:
        while not self.rest and (block := next(self.blocks, None)) is not None:
            self.rest = block
        size = min(len(target), len(self.rest))
        target[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


# Reading


def read(file: Path) -> Iterator[Drawing]:
    """The drawings of a file NAME.bin or NAME.ndjson, or one of them with .gz after it.

    Raises ValueError for another ending, QuickDrawError, while you iterate, where the file is missing, cut or corrupt.
    """
    readers = {".bin": read_binary, ".ndjson": read_ndjson}
    ending = Path(file.name.removesuffix(".gz")).suffix
    if ending not in readers:
        raise ValueError(f"{file.name} ends neither in .bin nor in .ndjson, so its format is not known.")
    return _read_file(file, readers[ending])


def _read_file(file: Path, reader) -> Iterator[Drawing]:
    try:
        with open(file, "rb") as stream:
            yield from reader(stream)
    except OSError as error:
        raise QuickDrawError(f"{file.name} cannot be read: {error.strerror}.") from None


def read_binary(stream: BinaryIO, word: str = "") -> Iterator[Drawing]:
    """The drawings of the binary format, one after the other; `word` is what they show, which the format does not hold.

    Raises QuickDrawError, with the number of the drawing, where the stream ends within one or holds what cannot be.
    """
    stream = _unpacked(stream)
    for number in itertools.count(1):
        begin = _take(stream, HEADER.size, number, may_end=True)
        if not begin:
            return
        key, country, recognised, seconds, strokes = HEADER.unpack(begin)
        country = country.rstrip(b"\0").decode("latin-1")
        if not strokes or recognised not in (0, 1) or not _is_country(country):
            raise QuickDrawError(f"Drawing {number} is corrupt: its header holds what no header does.")
        drawn, points = [], 0
        for _ in range(strokes):
            (size,) = COUNT.unpack(_take(stream, COUNT.size, number))
            points += size
            if not size or points > POINTS:
                raise QuickDrawError(f"Drawing {number} is corrupt: a stroke of {size} points, {points} in all.")
            drawn.append(np.frombuffer(_take(stream, 2 * size, number), "uint8").reshape(2, size).T)
        yield Drawing(word, key, country, bool(recognised), seconds, tuple(drawn))


def read_ndjson(stream: BinaryIO, word: str = "") -> Iterator[Drawing]:
    """The drawings of ndjson, simplified or raw, one after the other; `word` stands in where an object has none.

    The times of the points in raw ones are left out. Raises what `read_binary` does.
    """
    stream = _unpacked(stream)
    number = 0
    while True:
        with _named(number + 1):
            line = stream.readline(LINE)
        if not line:
            return
        if line.isspace():
            continue
        number += 1
        try:
            yield _parsed(json.loads(line), word)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            whole = line.endswith(b"\n") or len(line) == LINE
            problem = "corrupt: this line is none" if whole else "cut: the file ends within it"
            raise QuickDrawError(f"Drawing {number} is {problem}: {line[:40]!r}.") from None


def read_bitmaps(stream: BinaryIO, count: int | None = None) -> np.ndarray:
    """The first `count` pictures (None: all) of an .npy file of Quick, Draw!'s: uint8 (count, 28, 28), 255 is ink.

    Raises QuickDrawError where it is cut, or another array.
    """
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, kind = header(stream)
    except ValueError:
        raise QuickDrawError("This is no .npy file: its header is missing or cut.") from None
    if kind != np.uint8 or len(shape) != 2 or shape[1] != 28 * 28 or by_column:
        raise QuickDrawError(f"Bitmaps are rows of 784 bytes; this array is {kind} with the shape {shape}.")
    count = shape[0] if count is None else min(count, shape[0])
    content = stream.read(count * 784)
    if len(content) < count * 784:
        raise QuickDrawError(f"Picture {len(content) // 784 + 1} is cut: the file ends within it.")
    return np.frombuffer(content, "uint8").reshape(count, 28, 28)


def _unpacked(stream: BinaryIO) -> BinaryIO:
    """The stream, or what is packed in it where it begins as gzip does."""
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(_Blocks(iter(functools.partial(stream.read, 1 << 16), b"")))
    return io.BufferedReader(gzip.GzipFile(fileobj=stream)) if stream.peek(2)[:2] == GZIP else stream


@contextmanager
def _named(number: int) -> Iterator[None]:
    """Say which drawing it was where the packing is cut or broken."""
    try:
        yield
    except EOFError:
        raise QuickDrawError(f"Drawing {number} is cut: the packed file ends within it.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise QuickDrawError(f"Drawing {number} is corrupt: its packing is broken ({error}).") from None


def _take(stream: BinaryIO, size: int, number: int, *, may_end: bool = False) -> bytes:
    """Exactly `size` bytes; none where the stream `may_end` before them."""
    with _named(number):
        content = stream.read(size)
    if len(content) < size and not (may_end and not content):
        raise QuickDrawError(f"Drawing {number} is cut: the file ends within it.")
    return content


def _is_country(text: str) -> bool:
    """Two letters or digits, or nothing."""
    return not text or (len(text) == 2 and text.isascii() and text.isalnum())


def _parsed(entry: dict, word: str) -> Drawing:
    """A line of ndjson as a drawing; anything else raises one of several errors."""
    word, country, recognised = str(entry.get("word", word)), str(entry["countrycode"]), entry["recognized"]
    moment = datetime.fromisoformat(entry["timestamp"].removesuffix(" UTC")).replace(tzinfo=UTC)
    key, seconds = int(entry["key_id"]), int(moment.timestamp())
    if not (isinstance(recognised, bool) and _is_country(country) and 0 <= key < 1 << 64 and 0 <= seconds < 1 << 32):
        raise ValueError
    strokes = [np.array(stroke[:2], "float64").T for stroke in entry["drawing"]]  # in raw ones the times come third
    if not strokes or not all(stroke.ndim == 2 and stroke.shape[1] == 2 for stroke in strokes):
        raise ValueError
    points = np.concatenate(strokes)
    if not min(map(len, strokes)) or len(points) > POINTS or not (np.abs(points) < 1e6).all():
        raise ValueError
    simplified = ((points >= 0) & (points <= 255) & (points % 1 == 0)).all()
    kind = "uint8" if simplified else "float32"
    return Drawing(word, key, country, recognised, seconds, tuple(stroke.astype(kind) for stroke in strokes))


# Writing


def write_binary(drawings: Iterable[Drawing], stream: BinaryIO) -> None:
    """Write drawings in the binary format, which does not hold their words.

    Raises ValueError for one whose coordinates are not uint8, or with more points than the format can say.
    """
    for drawing in drawings:
        for stroke in drawing.strokes:
            if stroke.dtype != np.uint8 or not 0 < len(stroke) < 1 << 16:
                raise ValueError("The binary format holds strokes of 1 to 65,535 points in uint8: simplify them first.")
        country = drawing.country.encode("ascii")
        stream.write(HEADER.pack(drawing.key, country, drawing.recognised, drawing.seconds, len(drawing.strokes)))
        for stroke in drawing.strokes:
            stream.write(COUNT.pack(len(stroke)) + np.ascontiguousarray(stroke.T).tobytes())


def write_ndjson(drawings: Iterable[Drawing], stream: BinaryIO) -> None:
    """Write drawings as ndjson, an object a line."""
    for drawing in drawings:
        entry = {
            "word": drawing.word,
            "countrycode": drawing.country,
            "timestamp": f"{datetime.fromtimestamp(drawing.seconds, UTC):%Y-%m-%d %H:%M:%S} UTC",
            "recognized": drawing.recognised,
            "key_id": str(drawing.key),
            "drawing": [stroke.T.tolist() for stroke in drawing.strokes],
        }
        stream.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


# Strokes and pixels


def simplify(strokes: Sequence[np.ndarray], tolerance: float = 2.0) -> tuple[np.ndarray, ...]:
    """Strokes as Quick, Draw! simplifies them: moved to the corner, the longer side scaled to 255, few points each.

    strokes: arrays (points, 2). A point is left out where the line without it is no more than `tolerance` away (Ramer,
    1972; Douglas and Peucker, 1973). Returns uint8 arrays.
    """
    points = np.concatenate(strokes)
    low, side = points.min(axis=0), max(np.ptp(points, axis=0).max(), 1e-9)
    scaled = ((stroke - low) * 255 / side for stroke in strokes)
    return tuple(np.round(each[_corners(each, tolerance)]).astype("uint8") for each in scaled)


def _corners(line: np.ndarray, tolerance: float) -> np.ndarray:
    """Which points of a line (n, 2) its simpler form keeps."""
    kept = np.zeros(len(line), bool)
    kept[[0, -1]] = True
    parts = [(0, len(line) - 1)]
    while parts:
        first, last = parts.pop()
        inner = line[first + 1 : last] - line[first]
        if not len(inner):
            continue
        along = line[last] - line[first]
        share = np.clip(inner @ along / max(along @ along, 1e-9), 0, 1)
        away = np.linalg.norm(inner - share[:, None] * along, axis=1)
        if away.max() > tolerance:
            middle = first + 1 + int(away.argmax())
            kept[middle] = True
            parts += [(first, middle), (middle, last)]
    return kept


def rasterise(strokes: Sequence[np.ndarray], side: int = 28, *, width: float = 16, margin: float = 16) -> np.ndarray:
    """Strokes as pixels: uint8 (side, side), 255 is ink, edges antialiased.

    strokes: arrays (points, 2) with 0 to 255. width: of the line, and margin: around the drawing, in the same units.
    The drawing stands in the middle, at the size that `simplify` gave it.

    Raises ValueError where there is no stroke, or side is below 1.
    """
    if not len(strokes) or side < 1:
        raise ValueError("A picture needs a stroke and a pixel at least.")
    finer = 8  # each pixel is the mean of 8 x 8 that are black or white
    canvas = Image.new("L", (finer * side,) * 2)
    pen = ImageDraw.Draw(canvas)
    scale = finer * side / (256 + 2 * margin + width)
    points = np.concatenate(strokes).astype("float64")
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = width * scale / 2
    for stroke in strokes:
        places = (stroke - middle) * scale + finer * side / 2
        pen.line([tuple(place) for place in places], fill=255, width=max(1, round(2 * radius)))
        for x, y in places:  # round joints and ends
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX))
