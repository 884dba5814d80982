"""Recipe 5.1: the client of Project Gutenberg, against a local server, and what it takes off a text."""

import gzip
import socket
import time
from pathlib import Path

import local_server
import numpy as np
import pytest
from gutenbergpy.textget import strip_headers
from hypothesis import given, settings
from hypothesis import strategies as st

from cookbook import data
from cookbook.sources import gutenberg

BODY = """THE LAMP IN THE HARBOUR

by A. Nobody

Nobody had lit the lamp since March, and the boats
came home by the sound of the dogs.

"Project Gutenberg asked me for the story," said Ines,
"so I wrote it down, and I left nothing out."

    The sea was flat,
      the sea was grey.

They lit it that night. Produced by so small a flame,
the shadows reached the church."""

NEW = """The Project Gutenberg eBook of The Lamp in the Harbour

This eBook is for the use of anyone anywhere in the United States and
most other parts of the world at no cost and with almost no restrictions
whatsoever.

Title: The Lamp in the Harbour

Author: A. Nobody

Release date: March 1, 2021 [eBook #99001]

Language: English

*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP IN THE HARBOUR ***




{}




*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP IN THE HARBOUR ***

Updated editions will replace the previous one--the old editions will
be renamed.

START: FULL LICENSE

THE FULL PROJECT GUTENBERG LICENSE

PLEASE READ THIS BEFORE YOU DISTRIBUTE OR USE THIS WORK

The Project Gutenberg Literary Archive Foundation is a non-profit
corporation organized under the laws of the state of Mississippi.
"""

MIDDLE = """Project Gutenberg's The Lamp in the Harbour, by A. Nobody

This eBook is for the use of anyone anywhere at no cost and with
almost no restrictions whatsoever.

*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP IN THE HARBOUR ***

{}

End of Project Gutenberg's The Lamp in the Harbour, by A. Nobody

*** END OF THIS PROJECT GUTENBERG EBOOK THE LAMP IN THE HARBOUR ***

***** This file should be named 99001-8.txt or 99001-8.zip *****
"""

OLD = """***The Project Gutenberg Etext of The Lamp in the Harbour***

Copyright laws are changing all over the world, be sure to check
the copyright laws for your country before posting these files!!

**Welcome To The World of Free Plain Vanilla Electronic Texts**

We need your donations more than ever!

***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***
Why is this "Small Print!" statement here? You know: lawyers.
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*




{}




End of The Project Gutenberg Etext of The Lamp in the Harbour
"""


# The client


class Gutenberg(local_server.Handler):
    """Answers from a table of path → (status, headers, body) or a list of such, one after the other."""

    answers: dict
    seen: list[tuple[str, str | None]]

    def do_GET(self):
        self.seen.append((self.path, self.headers["User-Agent"]))
        answer = self.answers.get(self.path, (404, {}, b"not here"))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            return answer(self)
        self.reply(*answer)


@pytest.fixture
def home():
    Gutenberg.answers, Gutenberg.seen = {}, []
    with local_server.serving(Gutenberg) as address:
        yield address


@pytest.fixture
def library(home, tmp_path):
    return library_of(home, tmp_path)


def library_of(home: str, folder: Path, **options) -> gutenberg.Library:
    return gutenberg.Library(home, folder=folder / "books", **{"pause": 0, "retries": 2, "timeout": 5} | options)


def good(text: str = NEW.format(BODY), encoding: str = "utf-8-sig") -> tuple:
    return 200, {"Content-Type": "text/plain"}, text.replace("\n", "\r\n").encode(encoding)


def cut(content: bytes):
    """An answer that drops the connection half way."""

    def answer(handler: Gutenberg) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])

    return answer


def kept(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("books/*"))


FIRST = "/cache/epub/99001/pg99001.txt"
ADDRESSES = [FIRST, "/files/99001/99001-0.txt", "/files/99001/99001-8.txt", "/files/99001/99001.txt"]


def test_a_text_is_fetched_once(home, library, tmp_path):
    Gutenberg.answers = {FIRST: good()}
    assert library.text(99001) == BODY
    assert library.text(np.int64(99001)) == BODY
    assert library_of(home, tmp_path).text(99001) == BODY
    assert Gutenberg.seen == [(FIRST, data.USER_AGENT)]
    assert kept(tmp_path) == ["99001.txt"]


def test_texts_are_kept_under_generated(home, tmp_path, monkeypatch):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path))
    Gutenberg.answers = {FIRST: good()}
    assert gutenberg.Library(home, pause=0).text(99001) == BODY
    assert (tmp_path / "gutenberg" / "99001.txt").is_file()


@pytest.mark.parametrize("there", range(4))
def test_a_missing_address_goes_on_to_the_next(library, there):
    Gutenberg.answers = {ADDRESSES[there]: good()}
    assert library.text(99001) == BODY
    assert [path for path, _ in Gutenberg.seen] == ADDRESSES[: there + 1]


@pytest.mark.parametrize(
    ("encoding", "characters"),
    [("utf-8", "é – “ł”"), ("utf-8-sig", "é – “ł”"), ("cp1252", "é – “x”"), ("latin-1", "é \x81 ß")],
)
def test_encodings(library, encoding, characters):
    Gutenberg.answers = {FIRST: good(NEW.format(characters), encoding)}
    assert library.text(99001) == characters


def test_no_such_text(library, tmp_path):
    with pytest.raises(gutenberg.GutenbergError, match=r"has no plain text number 99001\. Find numbers with search"):
        library.text(99001)
    assert [path for path, _ in Gutenberg.seen] == ADDRESSES
    assert kept(tmp_path) == []


@pytest.mark.parametrize("number", [0, -1, 1.0, "84", None, True])
def test_bad_numbers(library, number):
    with pytest.raises(ValueError, match="whole number from 1 on"):
        library.text(number)
    assert Gutenberg.seen == []


@pytest.mark.parametrize("busy", [(429, {"Retry-After": "0"}, b"slow down"), (503, {}, b""), (500, {}, b"")])
def test_a_busy_server_is_asked_again(library, busy):
    Gutenberg.answers = {FIRST: [busy, busy, good()]}
    assert library.text(99001) == BODY
    assert len(Gutenberg.seen) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((429, {"Retry-After": "0"}, b""), r"gave no good answer \(RetryError\)"),
        ((403, {}, b"no robots"), r"gave no good answer \(HTTPError\)"),
        (cut(good()[2]), r"gave no good answer .* Check the connection"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "gave no good answer"),
        ((200, {}, b""), "is empty"),
        ((200, {}, b" \r\n\r\n"), "is empty"),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, b"Not found"), "a web page instead of a text"),
        ((200, {}, b"\r\n<!DOCTYPE html>\n<title>Not found"), "a web page instead of a text"),
        ((200, {}, b"\xef\xbb\xbf<HTML><body>Not found"), "a web page instead of a text"),
        ((200, {}, b'<?xml version="1.0"?><!DOCTYPE html>'), "a web page instead of a text"),
    ],
)
def test_bad_answers_leave_nothing(library, tmp_path, answer, message):
    Gutenberg.answers = {FIRST: answer}
    with pytest.raises(gutenberg.GutenbergError, match=message):
        library.text(99001)
    assert kept(tmp_path) == []
    Gutenberg.answers = {FIRST: good()}
    assert library.text(99001) == BODY


def test_slow_and_dead_servers(home, tmp_path):
    Gutenberg.answers = {FIRST: lambda _: time.sleep(0.5)}
    with pytest.raises(gutenberg.GutenbergError, match="Check the connection"):
        library_of(home, tmp_path, timeout=0.1, retries=0).text(99001)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(gutenberg.GutenbergError, match="Check the connection"):
            library_of(f"http://127.0.0.1:{free.getsockname()[1]}", tmp_path, retries=0).text(99001)
    assert kept(tmp_path) == []


# The catalogue

CATALOGUE = "/" + gutenberg.CATALOGUE
CSV = """Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves
99001,Text,2021-03-01,The Lamp in the Harbour,en,"Nobody, A., 1850-1900","Harbours -- Fiction; Lamps",PR,
99002,Text,1994-01-01,"Die Straße der Möwen:
Roman in ""drei"" Teilen",de,"Löwe-Ørsted, Zoë, 1801-1877; Nobody, A.",Gulls,PT,Fiction
99003,Sound,2003-01-01,The Lamp in the Harbour,en,"Nobody, A., 1850-1900",,,
99004,Text,2022-05-05,NA,en; fr,,,,
"""


def packed(text: str = CSV) -> tuple:
    return 200, {"Content-Type": "application/x-gzip"}, gzip.compress(text.encode())


def test_the_catalogue_is_fetched_once(home, library, tmp_path):
    Gutenberg.answers = {CATALOGUE: packed()}
    books = library.catalogue()
    assert list(books) == ["number", "title", "author", "language", "subjects"]
    assert books["number"].dtype == np.int64
    assert books["number"].tolist() == [99001, 99002, 99004]
    assert books["title"].tolist() == ["The Lamp in the Harbour", 'Die Straße der Möwen: Roman in "drei" Teilen', "NA"]
    assert books["author"].tolist() == ["Nobody, A., 1850-1900", "Löwe-Ørsted, Zoë, 1801-1877; Nobody, A.", ""]
    assert books["subjects"].tolist() == ["Harbours -- Fiction; Lamps", "Gulls", ""]
    books["title"] = "changed"
    assert library.catalogue()["title"].tolist() != books["title"].tolist()
    assert len(library_of(home, tmp_path).catalogue()) == 3
    assert Gutenberg.seen == [(CATALOGUE, data.USER_AGENT)]
    assert kept(tmp_path) == ["pg_catalog.csv.gz"]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"author": "Nobody, A."}, [99001, 99002]),
        ({"author": "a. NOBODY"}, [99001, 99002]),
        ({"author": "zoe lowe"}, [99002]),
        ({"author": "Zoe\u0308 Löwe-Ørsted"}, [99002]),
        ({"author": "Nobody 1850"}, [99001]),
        ({"author": "Nobo"}, []),
        ({"author": "Somebody"}, []),
        ({"author": "Somebody", "title": "lamp", "language": "en"}, []),
        ({"title": "STRASSE moewen"}, []),
        ({"title": "STRASSE mowen roman"}, [99002]),
        ({"title": "the lamp", "author": "nobody"}, [99001]),
        ({"language": "en"}, [99001, 99004]),
        ({"language": "FR"}, [99004]),
        ({"language": "en", "title": "lamp"}, [99001]),
    ],
)
def test_search(library, query, numbers):
    Gutenberg.answers = {CATALOGUE: packed()}
    found = library.search(**query)
    assert found["number"].tolist() == numbers
    assert list(found) == ["number", "title", "author", "language", "subjects"]
    assert found.index.tolist() == list(range(len(numbers)))


@pytest.mark.parametrize("query", [{}, {"author": ""}, {"author": "Nobody", "title": " , "}])
def test_nothing_to_search_for(library, query):
    with pytest.raises(ValueError, match="Say what to search for"):
        library.search(**query)
    assert Gutenberg.seen == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, {}, packed()[2][:-20]), r"is no whole catalogue \(EOFError\) and was removed"),
        ((200, {}, packed()[2][:30] + b"damaged" + packed()[2][37:]), "is no whole catalogue"),
        ((200, {}, b"<html>Not found</html>"), "is no whole catalogue"),
        ((200, {}, b""), "is no whole catalogue"),
        (packed("Text#,Type,Title\n1,Text,A\n"), "is no whole catalogue"),
        (packed(CSV.replace("99004", "?")), "is no whole catalogue"),
        (cut(packed(CSV * 100)[2]), "could not be downloaded. Check the connection"),
        ((404, {}, b""), "could not be downloaded"),
        ((503, {}, b""), "could not be downloaded"),
    ],
)
def test_a_broken_catalogue_leaves_nothing(library, tmp_path, answer, message):
    Gutenberg.answers = {CATALOGUE: answer}
    with pytest.raises(gutenberg.GutenbergError, match=message):
        library.search(author="Nobody")
    assert kept(tmp_path) == []
    Gutenberg.answers = {CATALOGUE: packed()}
    assert len(library.search(author="Nobody")) == 2


def test_a_catalogue_that_was_unpacked_on_the_way(library):
    Gutenberg.answers = {CATALOGUE: (200, {}, CSV.encode())}
    assert len(library.catalogue()) == 3


# Header and footer


@pytest.mark.parametrize("form", [NEW, MIDDLE, OLD], ids=["new", "middle", "old"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("body", [BODY, "One line.", "", "    A first line that is set in.\n\nB"])
def test_every_format(form, line_end, body):
    assert gutenberg.strip(form.format(body).replace("\n", line_end)) == body
    assert gutenberg.strip("\ufeff" + form.format(body)) == body


@pytest.mark.parametrize(
    "marker",
    [
        "*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***",
        "*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***",
        "***START OF THE PROJECT GUTENBERG EBOOK THE LAMP***",
        "*** START OF THE PROJECT GUTENBERG EBOOK 99001 ***",
        "*** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK THE LAMP ***",
        "*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP IN THE HARBOUR, WITH\nAN ACCOUNT OF THE DOGS ***",
        "*** START OF THE PROJECT GUTENBERG EBOOK A\nTITLE OF THREE\nLINES ***   ",
        "*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP",
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
        "*END THE SMALL PRINT! FOR PUBLIC DOMAIN EBOOKS*Ver.02/11/02*END*",
        "*END THE SMALL PRINT! FOR PUBLIC\nDOMAIN ETEXTS*Ver.10/04/01*END*",
    ],
)
@pytest.mark.parametrize("header", ["The Project Gutenberg EBook of The Lamp, by A. Nobody\n\n", ""])
def test_start_markers(marker, header):
    assert gutenberg.strip(f"{header}{marker}\n\n{BODY}") == BODY


@pytest.mark.parametrize(
    "end",
    [
        "*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***",
        "***END OF THE PROJECT GUTENBERG EBOOK THE LAMP***\n\nAnything at all.",
        "*** END OF THIS PROJECT GUTENBERG EBOOK THE LAMP\nIN THE HARBOUR ***\n",
        "End of the Project Gutenberg EBook of The Lamp,\nby A. Nobody\n\n*** END OF THE PROJECT GUTENBERG EBOOK ***",
        "End of Project Gutenberg's The Lamp, by A. Nobody",
        "End of The Project Gutenberg Etext of The Lamp, by A. Nobody\n\nAnything at all.",
        "End of this Project Gutenberg Etext of The Lamp",
        "END OF THE PROJECT GUTENBERG ETEXT",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n\n\n"])
def test_footers(end, gap):
    whole = (
        f"The Project Gutenberg Etext of The Lamp\n\n*** START OF THE PROJECT GUTENBERG EBOOK ***\n\n{BODY}{gap}{end}"
    )
    assert gutenberg.strip(whole) == BODY


@pytest.mark.parametrize(
    "credit",
    [
        "Produced by Ann Example and the Online Distributed\nProofreading Team at https://www.example.org",
        "E-text prepared by Ann Example",
        "This etext was prepared by Ann Example",
        "Scanned and proofed by Ann Example",
        "Transcribed from the 1890 edition by Ann Example",
    ],
)
def test_credits_come_off_only_where_they_come_first(credit):
    for form in (NEW, MIDDLE, OLD):
        assert gutenberg.strip(form.format(f"{credit}\n\n\n{BODY}")) == BODY
        assert gutenberg.strip(form.format(f"{BODY}\n\n{credit}\n\nMore.")) == f"{BODY}\n\n{credit}\n\nMore."
    assert gutenberg.strip(f"{credit}\n\n{BODY}") == f"{credit}\n\n{BODY}"


def test_a_long_first_paragraph_is_no_credit():
    story = "Produced by the committee, the report\n" + "went on and on\n" * 20 + "and ended."
    assert gutenberg.strip(NEW.format(story)) == story


def test_an_old_header_inside_the_new_one():
    assert gutenberg.strip(NEW.format(OLD.format(BODY))) == BODY
    assert gutenberg.strip(NEW.format(MIDDLE.format(BODY))) == BODY


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "\r\n \r\n"])
def test_nothing(text):
    assert gutenberg.strip(text) == ""


def test_a_text_without_markers_is_only_trimmed():
    assert gutenberg.strip(f"\ufeff\r\n \r\n{BODY}\n\n") == BODY
    verse = "  a  \n\n\n b "
    assert gutenberg.strip(verse) == verse


def test_where_gutenbergpy_returns_the_licence():
    """It looks for the footer only after 100 lines, and for a header in the first 600 lines."""
    short = NEW.format(BODY)
    theirs = strip_headers(short.encode()).decode()
    assert "The Lamp" not in theirs and "Ines" not in theirs
    assert theirs.strip() == "corporation organized under the laws of the state of Mississippi."
    assert gutenberg.strip(short) == BODY
    long = "\n".join([*["Before."] * 200, "Produced by magic, a rabbit.", *["After."] * 200])
    assert "Before." not in strip_headers(NEW.format(long).encode()).decode()
    assert gutenberg.strip(NEW.format(long)) == long


QUOTED = [
    "*** START OF THE PROJECT GUTENBERG EBOOK QUOTED ***",
    "*** START OF THIS PROJECT GUTENBERG EBOOK",
    "*** START",
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
    "*** END OF THE PROJECT GUTENBERG EBOOK QUOTED ***",
    "Project Gutenberg was a name that she had heard.",
    "It was Project Gutenberg, or the",
    "end of Project Gutenberg's list; who knows?",
    "Produced by nobody, it came.",
    "He said: *** END OF THE PROJECT GUTENBERG EBOOK ***",
    "",
    "   ",
    "\u2028 \x0c \x85",
    "Naïve “words”.",
]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([NEW, MIDDLE, OLD]), st.lists(st.sampled_from(QUOTED), max_size=12), st.booleans())
def test_what_a_book_quotes_stays(form, middle, crlf):
    body = "\n".join(["A first line.", *middle, "A last line."])
    # Without a marker of its own after it, an old footer cannot be told from a quoted new one.
    if form is OLD and any(line.startswith("*** END") for line in middle):
        form = MIDDLE
    whole = form.format(body)
    assert gutenberg.strip(whole.replace("\n", "\r\n") if crlf else whole) == body
    assert gutenberg.strip(body) == body


PIECES = [*QUOTED, *f"{NEW}\n\n{MIDDLE}\n\n{OLD}".split("\n\n"), "\ufeff", "\r\n", "\r", "*", "Produced by"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=20), st.sampled_from(["\n", "\n\n", "\r\n"]))
def test_stripping_twice_changes_nothing(pieces, between):
    once = gutenberg.strip(between.join(pieces))
    assert gutenberg.strip(once) == once
    assert "\r" not in once
    lines = once.split("\n")
    assert once == "" or (lines[0].strip() and lines[-1].strip())
