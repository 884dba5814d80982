"""Wikipedia's dumps: find the newest finished one, download it politely, read it block by block.

A multistream dump is a row of bz2 streams of 100 pages each, one after the other in one file. Its
index says at which byte each stream begins, so that any block can be read without the others.
"""

import bz2
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from cookbook import data, paths
from cookbook.sources import polite

HOME = "https://dumps.wikimedia.org/"
JOB = "articlesmultistreamdump"


class WikipediaError(RuntimeError):
    """A dump that is not there, not finished or not whole. The message is one clear sentence."""


@dataclass(frozen=True)
class File:
    """A file of a dump: its name, where it is, its size in bytes and its sha1."""

    name: str
    url: str
    size: int
    sha1: str


@dataclass(frozen=True)
class Dump:
    """A finished multistream dump of a wiki: its date (YYYYMMDD) and its parts.

    Each part is a pair, the pages and their index. English Wikipedia has dozens, a small wiki one.
    """

    wiki: str
    date: str
    parts: tuple[tuple[File, File], ...]


class Dumps:
    """A polite visitor of a server of dumps."""

    def __init__(self, home: str = HOME, *, pause: float = 1.0, retries: int = 5, timeout: float = 30):
        """home: the server. pause: the least time between two requests, in seconds.

        retries: how often a request that failed is tried again (429 and 5xx answers, broken
        connections), with growing pauses, or with the server's Retry-After. timeout: in seconds.
        """
        self.home = home.rstrip("/") + "/"
        self.retries = retries
        self.session = polite.session(pause=pause, retries=retries, timeout=timeout)

    def newest(self, wiki: str) -> Dump:
        """The newest finished multistream dump of a wiki such as "enwiki" or "simplewiki".

        Dumps that are still being made, and those whose status cannot be read, are passed over.

        Raises WikipediaError where there is no such wiki or no finished dump, or no answer.
        """
        listing = self._get(f"{wiki}/") if re.fullmatch(r"[a-z][a-z0-9_]*", wiki) else None
        if listing is None:
            raise WikipediaError(f"{self.home} has no wiki {wiki!r}. Names are such as enwiki, dewiki or simplewiki.")
        dates = sorted(set(re.findall(r'href="(?:[^"]*/)?(\d{8})/"', listing.text)), reverse=True)
        if not dates:
            raise WikipediaError(f"{self.home}{wiki}/ lists no dumps. Try again later, or use a mirror.")
        reasons = []
        for date in dates:
            found = self._finished(wiki, date)
            if isinstance(found, Dump):
                return found
            reasons.append(f"{date} {found}")
        raise WikipediaError(f"No dump of {wiki} is finished: {', '.join(reasons)}. Try again later.")

    def download(self, file: File, folder: Path) -> Path:
        """Download a file of a dump into `folder`, and go on after a cut as long as more arrives.

        Raises cookbook.data.DataError where it fails; what has arrived is kept for the next time.
        """
        target = folder / file.name
        part = target.with_name(target.name + ".part")
        folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(self.retries + 1):
            before = part.stat().st_size if part.is_file() else 0
            try:
                return data.download(file.url, target, f"sha1:{file.sha1}", session=self.session)
            except data.DataError:
                more = part.is_file() and part.stat().st_size > before
                if not more or attempt == self.retries:
                    raise
        raise AssertionError("unreachable")

    def _get(self, path: str) -> requests.Response | None:
        """The answer, or None where there is none under this address (404)."""
        try:
            answer = self.session.get(self.home + path)
            if answer.status_code == requests.codes.not_found:
                return None
            answer.raise_for_status()
        except requests.RequestException as error:
            raise WikipediaError(
                f"{self.home}{path} gave no good answer ({type(error).__name__}). "
                "Check the connection and try again later."
            ) from error
        return answer

    def _finished(self, wiki: str, date: str) -> Dump | str:
        """The dump of that date, or why it cannot be used."""
        answer = self._get(f"{wiki}/{date}/dumpstatus.json")
        if answer is None:
            return "has no status"
        try:
            job = answer.json()["jobs"][JOB]
            if job["status"] != "done":
                return f"is {job['status']}"
            files = {
                name: File(name, f"{self.home}{wiki}/{date}/{name}", int(file["size"]), file["sha1"])
                for name, file in job["files"].items()
                if re.fullmatch(r"[\w.-]+", name)  # it becomes the name of a file here
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            return "has an unreadable status"
        indexes = {name: _pages_of(name) for name in files if "-multistream-index" in name}
        parts = [(files[pages], files[name]) for name, pages in indexes.items() if pages in files]
        return Dump(wiki, date, tuple(sorted(parts, key=_first_page))) if parts else "lists no files"


def _pages_of(index: str) -> str:
    """The name of the file that an index belongs to."""
    return index.replace("-multistream-index", "-multistream").replace(".txt", ".xml")


def _first_page(part: tuple[File, File]) -> int:
    """The first page number of a part, which its name ends with ("…-p41243p151573.bz2")."""
    found = re.search(r"-p(\d+)p\d+", part[0].name)
    return int(found[1]) if found else 0


def index(file: Path) -> Iterator[tuple[int, int, str]]:
    """The lines of a multistream index: where the page's block begins, its number and its title.

    Raises WikipediaError where the file is cut or is no index.
    """
    with bz2.open(file, "rt", encoding="utf8") as lines:
        try:
            for line in lines:
                offset, number, title = line.rstrip("\n").split(":", 2)
                yield int(offset), int(number), title
        except (EOFError, OSError, ValueError) as error:
            raise WikipediaError(
                f"{paths.short(file)} is no whole multistream index ({error}). Download it again."
            ) from error


def offsets(file: Path) -> list[int]:
    """Where the blocks of a multistream dump begin, in bytes, from its index."""
    return sorted({offset for offset, _, _ in index(file)})


def block(file: Path, offset: int) -> bytes:
    """The XML of the block of pages that begins at byte `offset`: <page>…</page>, no root element.

    Raises WikipediaError where no whole block begins there.
    """
    decompressor, pieces = bz2.BZ2Decompressor(), []
    with open(file, "rb") as dump:
        dump.seek(offset)
        try:
            while not decompressor.eof and (compressed := dump.read(1 << 16)):
                pieces.append(decompressor.decompress(compressed))
        except OSError:
            raise WikipediaError(f"No block begins at byte {offset:,} of {paths.short(file)}.") from None
    if not decompressor.eof:
        raise WikipediaError(f"{paths.short(file)} was cut: the block at byte {offset:,} is not whole.")
    return b"".join(pieces)
