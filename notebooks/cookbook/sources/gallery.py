"""Collect pictures from a service into a folder: a few polite threads fetch, what comes is checked, each has a line.

The folder holds a file for each picture, and pictures.ndjson with what is known about it. A picture is written whole
or not at all, and before its line, so that a collection may be interrupted anywhere and goes on when it runs again.
"""

import io
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool  # its threads are daemons: none keeps a program from ending
from pathlib import Path

import requests
from PIL import Image

from cookbook import data, paths, pictures
from cookbook.sources import polite

INDEX = "pictures.ndjson"
MOST_BYTES = 10_000_000  # of a picture; a thumbnail has a hundredth of it
LONGEST = 120.0  # seconds for a picture, also where a few bytes come now and then


class GalleryError(RuntimeError):
    """A folder in which nothing was collected. The message is one clear sentence."""


class Gallery:
    """A folder of pictures and its lines, as far as they are whole and their pictures are there."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.file = self.folder / INDEX
        self.folder.mkdir(parents=True, exist_ok=True)
        content = self.file.read_bytes() if self.file.is_file() else b""
        lines = [line for line in content.splitlines(keepends=True) if _whole(line, self.folder)]
        if not self.file.is_file() or b"".join(lines) != content:
            _write(self.file, b"".join(lines))
        self.known = {json.loads(line)["id"] for line in lines}

    def add(self, about: dict, content: bytes) -> str:
        """Keep a picture and its line; return "", or the reason why it cannot be kept.

        about: what its line will say; "id" becomes the name of the file, so it must be safe as one.
        """
        if b"<svg" in content[:1000].lower():
            return "It is an SVG drawing, which cannot be read here."
        try:
            height, width = pictures.load(content).shape[:2]
        except pictures.PictureError as error:
            return str(error)
        kind = Image.open(io.BytesIO(content), formats=pictures.FORMATS).format.lower()
        name = f"{about['id']}.{'jpg' if kind == 'jpeg' else kind}"
        _write(self.folder / name, content)
        line = about | {"file": name, "width": width, "height": height}
        with open(self.file, "a", encoding="utf8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.known.add(about["id"])
        return ""


def lines(folder: Path | str) -> list[dict]:
    """What is known about the pictures of a folder, a dict each: "file" is the picture's name in the folder.

    Raises GalleryError where nothing was collected.
    """
    file = Path(folder) / INDEX
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise GalleryError(f"{paths.short(file)} is missing: nothing was collected there.") from None
    return [json.loads(line) for line in content.splitlines(keepends=True) if _whole(line, file.parent)]


def fetch(
    wanted: Iterable[tuple[dict, str]],
    *,
    allowed: Callable[[str], bool],
    agent: str = data.USER_AGENT,
    threads: int = 3,
    pause: float = 0.2,
    retries: int = 5,
    timeout: float = 30,
) -> Iterator[tuple[dict, bytes | str]]:
    """Each of `wanted` (what is known about a picture, and its address), in order, with its content or with the
    reason why there is none.

    allowed: whether an address may be visited. agent: who we say we are. threads: how many fetch at once. pause: the
    mean time between two requests in seconds, all threads together. retries: how often what failed is tried again,
    with growing pauses or after the server's Retry-After. timeout: in seconds, for each piece of an answer.

    No more is fetched ahead than two pictures a thread, so memory stays flat.
    """
    own = threading.local()

    def begin() -> None:
        own.session = polite.session(pause=pause * threads, retries=retries, timeout=timeout)
        own.session.headers["User-Agent"] = agent

    def one(url: str) -> bytes | str:
        if not allowed(url):
            return "Its address is not one of the service's."
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(min(60, pause * 2**attempt))
            try:
                return _content(own.session, url)
            except requests.exceptions.ChunkedEncodingError:
                continue  # it broke off on the way, which the session neither sees nor tries again
            except requests.RequestException as error:
                return f"It cannot be fetched: {why(error)}."
        return "It is cut short on the way, each time."

    ahead: deque = deque()
    with ThreadPool(threads, begin) as pool:
        for about, url in wanted:
            ahead.append((about, pool.apply_async(one, (url,))))
            if len(ahead) == 2 * threads:
                about, result = ahead.popleft()
                yield about, result.get()
        for about, result in ahead:
            yield about, result.get()


def why(error: requests.RequestException) -> str:
    """The reason of a failure, in few words."""
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "nothing came any more"
    if isinstance(error, requests.exceptions.RetryError):
        return "the server is overloaded, or it is too much for it"
    return "the connection broke or could not be made"


def _content(session: requests.Session, url: str) -> bytes | str:
    """What is at an address, or the reason why it is not taken."""
    start, content = time.monotonic(), bytearray()
    with session.get(url, stream=True, allow_redirects=False) as answer:  # a redirection may lead anywhere
        if answer.status_code != requests.codes.ok:
            gone = answer.status_code in (404, 410)
            return f"It is {'gone' if gone else 'refused'} (the server answers {answer.status_code})."
        for block in answer.iter_content(1 << 14):
            content += block
            if len(content) > MOST_BYTES:
                return f"It has more than {MOST_BYTES:,} bytes, which is the limit."
            if time.monotonic() - start > LONGEST:
                return f"It takes more than {LONGEST:.0f} seconds."
    return bytes(content)


def _whole(line: bytes, folder: Path) -> bool:
    """Whether a line of the index is whole and its picture there."""
    try:
        about = json.loads(line)
        return line.endswith(b"\n") and bool(about["id"]) and (folder / about["file"]).is_file()
    except (ValueError, KeyError, TypeError):
        return False


def _write(file: Path, content: bytes) -> None:
    """Write a file that is whole or not there."""
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    part.replace(file)
