"""Stack Exchange's data dump: download a site's archive, read its posts row by row, pair them up.

A site's archive is a 7z that holds Posts.xml: a <row/> for each question and each answer, everything in
its attributes. Both are read as streams, so that memory stays flat for an archive of any size.
"""

import io
import os
import re
import sqlite3
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import py7zr
import requests
from bs4 import BeautifulSoup
from bs4.exceptions import ParserRejectedMarkup
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser
from py7zr.io import Py7zIO, WriterFactory
from tqdm.auto import tqdm

from cookbook import data, paths
from cookbook.sources import polite

HOME = "https://archive.org/download/stackexchange/"
COLUMNS = ["id", "title", "answer", "tags", "score"]
# Sites that do not live under stackexchange.com, and where they do.
OWN_HOSTS = {
    "askubuntu": "com",
    "mathoverflow": "net",
    "serverfault": "com",
    "stackapps": "com",
    "stackoverflow": "com",
    "superuser": "com",
}
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
QUESTION, ANSWER = "1", "2"
AGAIN = "Delete it and download it again."


class StackExchangeError(RuntimeError):
    """A site that is not there, or an archive that cannot be read. The message is one clear sentence."""


class CutError(StackExchangeError):
    """An archive that breaks off: the rows before were whole and have been given."""


def address(site: str, home: str = HOME) -> str:
    """Where the archive of a site is, such as "cooking", "superuser", "ai.meta" or "stackoverflow".

    Raises StackExchangeError where `site` cannot be a site's name.
    """
    name = re.sub(r"(\.stackexchange)?\.(com|net)$", "", site)
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", name):
        raise StackExchangeError(f"No site is called {site!r}. Names are such as cooking, superuser or ai.meta.")
    host = f"{name}.{OWN_HOSTS.get(name.rpartition('.')[2], 'stackexchange.com')}"
    part = "-Posts" if name == "stackoverflow" else ""  # the only one that is split
    return f"{home.rstrip('/')}/{host}{part}.7z"


def download(site: str, folder: Path | None = None, *, home: str = HOME, pause: float = 1.0, retries: int = 5) -> Path:
    """Download the archive of a site into `folder` (generated/stackexchange), unless it is there; return it.

    Raises StackExchangeError where there is no such site, and cookbook.data.DataError where the download
    fails; what has arrived is kept for the next time.
    """
    url = address(site, home)
    folder = Path(folder or paths.generated("stackexchange"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with polite.session(pause=pause, retries=retries) as session:
            return data.download(url, folder / url.rpartition("/")[2], session=session)
    except data.DataError as error:
        answer = getattr(error.__cause__, "response", None)
        if answer is not None and answer.status_code == requests.codes.not_found:
            raise StackExchangeError(
                f"There is no {url}. Names of sites are such as cooking, superuser or ai.meta."
            ) from error
        raise


def rows(archive: Path, *, bar: bool = False) -> Iterator[dict[str, str]]:
    """The attributes of each <row> of a site's 7z archive, or of its Posts.xml: Id, PostTypeId, Body, …

    bar: show how much of Posts.xml has been read.

    Raises StackExchangeError where nothing can be read, and CutError after the last whole row of an archive
    that breaks off. A 7z has one checksum for all of Posts.xml, so damage is seen where it makes no sense
    any more: the last row before it may have suffered too.
    """
    archive = Path(archive)
    with closing(_posts(archive)) as posts, tqdm(total=posts.size, unit="B", unit_scale=True, disable=not bar) as done:
        found = _Rows()
        parser = XMLParser(target=found, encoding="utf-8", forbid_dtd=True)
        count, block, problem = 0, b"-", None
        while block and not problem:
            try:
                block = posts.read(1 << 16)
                parser.feed(block) if block else parser.close()
            except DefusedXmlException as error:
                raise StackExchangeError(
                    f"{paths.short(archive)} is refused: it declares a document type or entities, which no dump does."
                ) from error
            except (ParseError, _UnpackError) as error:
                problem = error
            done.update(len(block))
            some = found.take()
            count += len(some)
            yield from some
    if problem and count:
        raise CutError(
            f"{paths.short(archive)} was cut or damaged after {count:,} whole rows ({problem}); they are kept. {AGAIN}"
        ) from problem
    if problem:
        raise StackExchangeError(f"{paths.short(archive)} holds no whole row ({problem}). {AGAIN}") from problem


def pairs(archive: Path, *, bar: bool = False) -> Iterator[dict]:
    """The questions that have an accepted answer, each with it, in the order of the answers: see COLUMNS.

    id and tags are strings, the tags parted by spaces; title and answer are plain text; score is the question's.
    Questions wait for their answers in a temporary file (of SQLite), so memory stays flat.

    Raises what `rows` raises, after the pairs that were whole.
    """
    with closing(_Waiting()) as waiting, closing(rows(archive, bar=bar)) as posts:
        for post in posts:
            kind = post.get("PostTypeId")
            if kind == QUESTION and "Id" in post:
                pair = waiting.question(post)
            elif kind == ANSWER and "Id" in post:
                pair = waiting.answer(post)
            else:
                continue  # a wiki page, a moderator's nomination
            if pair:
                number, title, tags, score, body = pair
                yield {"id": number, "title": title, "answer": text(body), "tags": tags, "score": score}


def read_pairs(archive: Path, limit: int | None = None, *, bar: bool = False) -> pd.DataFrame:
    """The first `limit` pairs of an archive (or all), as a table of COLUMNS: see `pairs`.

    Of an archive that breaks off, what came before is returned, with a warning.

    Raises StackExchangeError where nothing can be read.
    """
    found = []
    with closing(pairs(archive, bar=bar)) as some:
        try:
            while limit is None or len(found) < limit:
                found.append(next(some))
        except StopIteration:
            pass
        except CutError as error:
            warnings.warn(str(error), stacklevel=2)
    return pd.DataFrame(found, columns=COLUMNS).astype({"score": "int64"})


def text(html: str) -> str:
    """The text of a post's HTML, its code included."""
    try:
        # Inside an element, a body that is only an address or a file's name is no reason for a warning.
        return BeautifulSoup(f"<div>{html}", "html.parser").get_text().strip()
    except ParserRejectedMarkup:
        return html.strip()


class _Waiting:
    """Questions that wait for their accepted answers, and the few answers that come before their questions."""

    def __init__(self) -> None:
        self.base = sqlite3.connect("")  # a temporary file, which goes when it is closed
        self.base.execute("PRAGMA journal_mode = OFF")
        self.base.execute("CREATE TABLE questions (id PRIMARY KEY, accepted, title, tags, score)")
        self.base.execute("CREATE TABLE answers (id PRIMARY KEY, body)")

    def question(self, post: dict[str, str]) -> tuple | None:
        """Keep a question; return it with its accepted answer if that has come already."""
        accepted = post.get("AcceptedAnswerId")
        row = (post["Id"], accepted)
        if accepted:
            row += (post.get("Title", "").strip(), _tags(post.get("Tags", "")), _number(post.get("Score", "")))
        else:
            row += (None, None, None)  # known, so that its answers need not be kept
        self.base.execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?)", row)
        body = self.base.execute("SELECT body FROM answers WHERE id = ?", (accepted,)).fetchone()
        return (row[0], *row[2:], *body) if body else None

    def answer(self, post: dict[str, str]) -> tuple | None:
        """Return the question with this answer if it is the accepted one; keep it if its question is to come."""
        body = post.get("Body", "")
        asked = self.base.execute(
            "SELECT accepted, id, title, tags, score FROM questions WHERE id = ?", (post.get("ParentId"),)
        ).fetchone()
        if asked is None:
            self.base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (post["Id"], body))
            return None
        accepted, *question = asked
        return (*question, body) if accepted == post["Id"] else None

    def close(self) -> None:
        self.base.close()


def _tags(written: str) -> str:
    """Tags as "python list", from "<python><list>" or "|python|list|"."""
    return " ".join(re.findall(r"[^<>|\s]+", written))


def _number(written: str) -> int:
    """A score; 0 where there is none."""
    return int(written) if re.fullmatch(r"-?[0-9]{1,18}", written) else 0


class _Rows:
    """What the XML parser tells of each element: it keeps the rows' attributes, and builds no tree."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            self.rows.append(attributes)

    def take(self) -> list[dict[str, str]]:
        """The rows since the last time."""
        taken, self.rows = self.rows, []
        return taken


class _UnpackError(Exception):
    """Unpacking failed; the message is what the decompressor says."""


def _posts(archive: Path) -> "_File | _Member":
    """Posts.xml, to be read and closed: its size is in .size."""
    try:
        with open(archive, "rb") as file:
            beginning = file.read(100)
    except OSError as error:
        raise StackExchangeError(
            f"{paths.short(archive)} cannot be read ({error.strerror}). Download it with download(site)."
        ) from error
    if beginning.startswith(SEVEN_ZIP):
        return _Member(archive, "Posts.xml")
    if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return _File(archive)
    kind = "neither a 7z archive nor a Posts.xml" if beginning else "empty"
    raise StackExchangeError(f"{paths.short(archive)} is {kind}. {AGAIN}")


class _File(io.FileIO):
    """A file that is read in pieces of at most `most` bytes, until it is told to stop."""

    def __init__(self, file: Path):
        super().__init__(file)
        self.size = file.stat().st_size
        self.most = sys.maxsize
        self.stopped = False

    def read(self, size: int = -1) -> bytes:
        if self.stopped:
            raise InterruptedError("nobody reads on")
        return super().read(min(size, self.most))


class _Member:
    """A file inside a 7z, unpacked by a thread into a pipe as it is read."""

    def __init__(self, archive: Path, name: str):
        self.file = _File(archive)
        try:
            seven = py7zr.SevenZipFile(self.file)
            members = {Path(info.filename).name: info for info in seven.list()}
        except Exception as error:  # py7zr lets through what its decoders raise
            self.file.close()
            raise StackExchangeError(
                f"{paths.short(archive)} was cut or damaged: its index, which a 7z keeps at its end, cannot be "
                f"read, and nothing can without it. {AGAIN}"
            ) from error
        if name not in members:
            self.file.close()
            raise StackExchangeError(
                f"{paths.short(archive)} holds no {name}, but: {', '.join(members) or 'nothing'}. "
                "It is not the archive of a site's posts."
            )
        # py7zr unpacks at once whatever it has read at once: from 1 MiB, its habit, easily 50.
        self.file.most = 1 << 16
        self.size = members[name].uncompressed
        self.problem: Exception | None = None
        reading, writing = os.pipe()
        self.pipe = os.fdopen(reading, "rb")
        self.thread = threading.Thread(
            target=self._unpack, args=(seven, members[name].filename, os.fdopen(writing, "wb")), daemon=True
        )
        self.thread.start()

    def read(self, size: int) -> bytes:
        """The next `size` bytes, or what is left. Raises _UnpackError where unpacking failed."""
        block = self.pipe.read(size)
        if not block and self.problem:
            raise _UnpackError(f"{type(self.problem).__name__}: {self.problem}") from self.problem
        return block

    def close(self) -> None:
        """End the thread, which cannot read or write any more, and close the archive."""
        self.file.stopped = True
        self.pipe.close()
        self.thread.join()
        self.file.close()

    def _unpack(self, seven: py7zr.SevenZipFile, name: str, pipe: BinaryIO) -> None:
        with suppress(OSError), pipe:  # closing writes what is left, and nobody may be there to read it
            try:
                with seven:
                    seven.extract(targets=[name], factory=_Into(pipe))
            except Exception as error:  # it is raised again by read()
                self.problem = error


class _Into(WriterFactory, Py7zIO):
    """How py7zr writes into a pipe."""

    def __init__(self, pipe: BinaryIO):
        self.pipe = pipe

    def create(self, filename: str) -> Py7zIO:
        return self

    def write(self, s: bytes | bytearray) -> int:
        return self.pipe.write(s)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        self.pipe.flush()

    def size(self) -> int:
        return 0
