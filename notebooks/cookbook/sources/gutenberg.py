"""Project Gutenberg: search its catalogue, fetch a book by its number, take header and footer off.

The catalogue is the file that Project Gutenberg makes for programs, so no search page is crawled.
gutenbergpy does neither job for us: it fetches without a time-out, retries or a name, and guesses the
encoding; its strip_headers returns the end of the licence instead of the book where fewer than 100
lines come before the footer, and loses what stands before a line such as "Produced by" among the first 600.
"""

import numbers
import re
import unicodedata
import zlib
from functools import cached_property
from pathlib import Path

import pandas as pd
import requests

from cookbook import data, paths
from cookbook.sources import polite

HOME = "https://www.gutenberg.org/"
CATALOGUE = "cache/epub/feeds/pg_catalog.csv.gz"
TEXTS = ("cache/epub/{0}/pg{0}.txt", "files/{0}/{0}-0.txt", "files/{0}/{0}-8.txt", "files/{0}/{0}.txt")
COLUMNS = {"Text#": "number", "Title": "title", "Authors": "author", "Language": "language", "Subjects": "subjects"}

HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|\?xml|html|head)", re.IGNORECASE)

# The marker that ends the header, since 2003 and in the 1990s.
START = re.compile(
    r"\s*\*{3}\s*START OF (?:THE |THIS )?(?:COPYRIGHTED )?PROJECT GUTENBERG|\s*\*+\s*END\s*\**\s*THE SMALL PRINT",
    re.IGNORECASE,
)
# Lines that stand before it in a real header, and not before a marker that a book quotes.
HEADER = re.compile(
    r"^\W*(?:this is )?(?:the |a )?(?:complete |copyrighted )?project gutenberg"
    r"(?:'s |(?:-tm)? (?:e-?text|e-?book|edition))"
    r"|^(?:title|author|release date|posting date|character set encoding): "
    r"|small print!|for the use of anyone anywhere|plain vanilla electronic texts|copyright laws are changing",
    re.IGNORECASE,
)
HEADER_LINES = 600
CREDITS = re.compile(
    r"\s*(?:this )?(?:e-?text |e-?book )?(?:was )?"
    r"(?:produced|prepared|scanned|transcribed|typed)(?: and \w+)? (?:by|from)\b",
    re.IGNORECASE,
)
CREDITS_LINES = 10
END = re.compile(r"\s*\*{3}\s*END OF (?:THE |THIS )?(?:COPYRIGHTED )?PROJECT GUTENBERG", re.IGNORECASE)
# A sentence, so its case matters: a book may well have a line "end of Project Gutenberg's list".
OLD_END = re.compile(
    r"\s*\W{0,2}(?:End of (?:[Tt]he |[Tt]his )?Project Gutenberg|END OF (?:THE |THIS )?PROJECT GUTENBERG)"
)
LICENCE = re.compile(
    r"updated editions will replace|this file should be named|full license|general terms of use"
    r"|gutenberg literary archive|we need your donations",
    re.IGNORECASE,
)


class GutenbergError(RuntimeError):
    """A text or a catalogue that is not there or not whole. The message is one clear sentence."""


class Library:
    """A polite visitor of Project Gutenberg, who keeps what was fetched."""

    def __init__(
        self,
        home: str = HOME,
        *,
        pause: float = 1.0,
        retries: int = 5,
        timeout: float = 30,
        folder: Path | None = None,
    ):
        """home: the server. pause: the least time between two requests, in seconds.

        retries: how often a request that failed is tried again (429 and 5xx answers, broken
        connections), with growing pauses, or with the server's Retry-After. timeout: in seconds.
        folder: where the catalogue and the texts are kept, by default generated/gutenberg.
        """
        self.home = home.rstrip("/") + "/"
        self.folder = Path(folder or paths.generated("gutenberg"))
        self.session = polite.session(pause=pause, retries=retries, timeout=timeout)

    def catalogue(self) -> pd.DataFrame:
        """The texts (no recordings, no pictures): number, title, author, language, subjects.

        It is downloaded once; delete the file pg_catalog.csv.gz in the folder to get a newer one.

        Raises GutenbergError where it cannot be had, or is no catalogue; nothing is kept then.
        """
        return self._books.copy()

    def search(self, author: str | None = None, title: str | None = None, language: str | None = None) -> pd.DataFrame:
        """The rows of the catalogue in which all words of each query occur; none is an empty table.

        Order, case and accents do not matter: "Brontë, Emily" and "emily bronte" find the same.
        language: a code such as "en".

        Raises ValueError where there is nothing to search for, GutenbergError like catalogue().
        """
        queries = {"author": author, "title": title, "language": language}
        wanted = {column: _words(query) for column, query in queries.items() if query is not None}
        if not wanted or not all(wanted.values()):
            raise ValueError("Say what to search for: words of an author, of a title, or a language such as 'en'.")
        found = self._books
        for column, words in wanted.items():
            found = found.loc[[words <= _words(value) for value in found[column]]]
        return found.reset_index(drop=True)

    def text(self, number: int) -> str:
        """The book of that number, without header and footer; it is fetched once.

        Raises ValueError where this can be no number of a book, and GutenbergError where there is
        no such text, or no good answer; nothing is kept then.
        """
        if not isinstance(number, numbers.Integral) or isinstance(number, bool) or number < 1:
            raise ValueError(f"The number of a book is a whole number from 1 on, not {number!r}.")
        file = self.folder / f"{number}.txt"
        if not file.is_file():
            content = self._fetch(number)
            self.folder.mkdir(parents=True, exist_ok=True)
            part = file.with_name(file.name + ".part")
            part.write_bytes(content)
            part.replace(file)
        return strip(_decode(file.read_bytes()))

    @cached_property
    def _books(self) -> pd.DataFrame:
        file = self.folder / Path(CATALOGUE).name
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return _read_catalogue(data.download(self.home + CATALOGUE, file, session=self.session))
        except data.DataError as error:
            # The catalogue changes every day: what came today cannot be completed tomorrow.
            file.with_name(file.name + ".part").unlink(missing_ok=True)
            raise GutenbergError(
                f"The catalogue {self.home}{CATALOGUE} could not be downloaded. "
                "Check the connection and try again later."
            ) from error
        except (EOFError, OSError, ValueError, zlib.error) as error:
            file.unlink(missing_ok=True)
            raise GutenbergError(
                f"What came from {self.home}{CATALOGUE} is no whole catalogue ({type(error).__name__}) "
                "and was removed. Try again later."
            ) from error

    def _fetch(self, number: int) -> bytes:
        """The plain text of a book from the first address that has it."""
        for address in TEXTS:
            answer = self._get(address.format(number))
            if answer is None:
                continue
            if "html" in answer.headers.get("Content-Type", "") or HTML.match(answer.content):
                raise GutenbergError(f"{answer.url} answered with a web page instead of a text. Try again later.")
            if not answer.content.strip():
                raise GutenbergError(f"{answer.url} is empty. Try again later.")
            return answer.content
        raise GutenbergError(
            f"{self.home} has no plain text number {number}. Find numbers with search(); "
            "some books are there only as pictures or as sound."
        )

    def _get(self, path: str) -> requests.Response | None:
        """The answer, or None where there is none under this address (404)."""
        try:
            answer = self.session.get(self.home + path)
            if answer.status_code == requests.codes.not_found:
                return None
            answer.raise_for_status()
        except requests.RequestException as error:
            raise GutenbergError(
                f"{self.home}{path} gave no good answer ({type(error).__name__}). "
                "Check the connection and try again later."
            ) from error
        return answer


def strip(text: str) -> str:
    """The book alone: without Project Gutenberg's header, credits and footer, and with "\\n" as line end.

    A text without them comes back as it is, but for blank lines at its ends; so stripping twice
    changes nothing. What the book itself says about Project Gutenberg stays.
    """
    text = re.sub(r"\r\n?", "\n", text)
    # More than once, because old books were posted again with the new header around the old one.
    while (bare := _strip_once(text)) != text:
        text = bare
    return text


def _strip_once(text: str) -> str:
    lines = text.lstrip("\ufeff").split("\n")
    begin = _header_end(lines)
    if begin:
        lines = _without_credits(_trimmed(lines[begin:]))
    end = _footer_begin(lines, END, certain=begin > 0)
    end = _footer_begin(lines[:end], OLD_END, certain=begin > 0 and end == len(lines))
    return "\n".join(_trimmed(lines[:end]))


def _header_end(lines: list[str]) -> int:
    """How many lines the header has; 0 where there is none."""
    for i, line in enumerate(lines[:HEADER_LINES]):
        if START.match(line):
            before = [each for each in lines[:i] if each.strip()]
            return _marker_end(lines, i) if not before or any(map(HEADER.search, before)) else 0
    return 0


def _marker_end(lines: list[str], begin: int) -> int:
    """The line after the marker that begins at line `begin`; a long title wraps, in either."""
    wrapped = lines[begin : begin + 5]
    end = next((i for i, line in enumerate(wrapped) if not line.strip()), len(wrapped))
    if wrapped[0].lstrip().startswith("*"):
        end = next((i + 1 for i in range(end) if wrapped[i].rstrip().endswith("*")), 1)
    return begin + end


def _without_credits(lines: list[str]) -> list[str]:
    """The lines without the paragraph that says who prepared the text, if they begin with it."""
    end = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
    return lines[end:] if lines and CREDITS.match(lines[0]) and end <= CREDITS_LINES else lines


def _footer_begin(lines: list[str], marker: re.Pattern, *, certain: bool) -> int:
    """The line where the last marker begins the footer; the number of lines where there is none.

    certain: it does so whatever follows it; else only the licence may, or nothing.
    """
    last = next((i for i in reversed(range(len(lines))) if marker.match(lines[i])), None)
    if last is None:
        return len(lines)
    after = "\n".join(lines[_marker_end(lines, last) :])
    return last if certain or not after.strip() or LICENCE.search(after) else len(lines)


def _trimmed(lines: list[str]) -> list[str]:
    """The lines without blank ones at either end."""
    full = [i for i, line in enumerate(lines) if line.strip()]
    return lines[full[0] : full[-1] + 1] if full else []


def _decode(content: bytes) -> str:
    """The text of a file, which is in UTF-8, or, if it is old, in Windows-1252 or Latin-1."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _read_catalogue(file: Path) -> pd.DataFrame:
    """The texts that the catalogue's file lists; white space in titles becomes one space."""
    with open(file, "rb") as start:
        packed = start.read(2) == b"\x1f\x8b"  # some servers unpack it on the way
    options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", "usecols": [*COLUMNS, "Type"]}
    table = pd.read_csv(file, compression="gzip" if packed else None, **options)
    texts = table.loc[table["Type"] == "Text", list(COLUMNS)].rename(columns=COLUMNS).fillna("")
    texts["title"] = [" ".join(title.split()) for title in texts["title"]]
    return texts.astype({"number": int}).reset_index(drop=True)


def _words(text: str) -> set[str]:
    """The words of a text, without case and accents."""
    letters = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return set(re.findall(r"\w+", "".join(letters).casefold()))
