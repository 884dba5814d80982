"""Stack Exchange's dumps: archives made here, whole, cut and damaged; and how much memory they take."""

import re
import threading
import time
import tracemalloc
import warnings
from pathlib import Path
from xml.sax.saxutils import quoteattr

import local_server
import py7zr
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tqdm.auto import tqdm

from cookbook import data
from cookbook.sources import stackexchange
from cookbook.sources.stackexchange import CutError, StackExchangeError

ENTITIES = {"\n": "&#xA;", "\r": "&#xD;", "\t": "&#x9;"}


def row(**attributes: object) -> str:
    """A row as the dumps write it: <row Id="1" …/>."""
    return f"<row {' '.join(f'{name}={quoteattr(str(value), ENTITIES)}' for name, value in attributes.items())} />"


def question(number: int, accepted: int | None = None, **more: object) -> str:
    answered = {"AcceptedAnswerId": accepted} if accepted else {}
    usual = {"Score": 3, "Body": "<p>Please?</p>", "Title": f"Question {number}", "Tags": "<python><list>"}
    return row(Id=number, PostTypeId=1, **answered, **(usual | more))


def answer(number: int, to: int, **more: object) -> str:
    return row(Id=number, PostTypeId=2, ParentId=to, **({"Score": 1, "Body": f"<p>Answer {number}</p>"} | more))


def posts(*lines: str) -> bytes:
    whole = ['\ufeff<?xml version="1.0" encoding="utf-8"?>', "<posts>", *(f"  {line}" for line in lines), "</posts>"]
    return "\r\n".join(whole).encode()


def packed(file: Path, members: dict[str, bytes], filters: list[dict] | None = None) -> Path:
    with py7zr.SevenZipFile(file, "w", filters=filters) as archive:
        for name, content in members.items():
            archive.writestr(content, name)
    return file


def write_dump(path: Path, n_rows: int, filters: list[dict] | None = None) -> int:
    """A synthetic archive of `n_rows` rows of about 300 bytes; returns the bytes of its Posts.xml.

    Every even row answers the one before; the text is varied, so that it packs about as real posts do.
    """
    xml = path.with_suffix(".xml")
    with open(xml, "w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<posts>\n')
        for number in range(1, n_rows + 1):
            body = "<p>" + " ".join(f"w{(number * k * 2654435761) % 9973}" for k in range(1, 25)) + "</p>\n"
            post = answer(number, number - 1, Body=body) if number % 2 == 0 else question(number, number + 1, Body=body)
            file.write(f"  {post}\n")
        file.write("</posts>\n")
    with py7zr.SevenZipFile(path, "w", filters=filters) as archive:
        archive.write(xml, "Posts.xml")
    size = xml.stat().st_size
    xml.unlink()
    return size


FAST = [{"id": py7zr.FILTER_LZMA2, "preset": 0}]
COMPRESSIONS = {
    "lzma2": FAST,
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "ppmd": [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 20}],
    "deflate": [{"id": py7zr.FILTER_DEFLATE}],
}

SITE = posts(
    answer(2, 7, Body="<p>It came before its question &amp; is kept</p>"),
    question(1, 3, Title="Tabs & “quotes” <b>", Body="x", Tags="<c++><.net>"),
    answer(3, 1, Body='<p>Use <code>a &lt; b</code>:</p>\n<pre><code>if a &lt; b:\n    print("ü")\n</code></pre>'),
    answer(4, 1, Body="<p>not accepted</p>"),
    question(5, Title="Nobody knows"),
    answer(6, 5),
    question(7, 2, Title="水 😀", Tags="|python|list|", Score=-4),
    row(Id=8, PostTypeId=4, Body="A tag's wiki"),
    row(Id=9, PostTypeId=1, AcceptedAnswerId=10),
    row(Id=10, PostTypeId=2, ParentId=9),
    question(11, 99, Title="Its answer was deleted"),
)
PAIRS = [
    {
        "id": "1",
        "title": "Tabs & “quotes” <b>",
        "answer": 'Use a < b:\nif a < b:\n    print("ü")',
        "tags": "c++ .net",
        "score": 3,
    },
    {
        "id": "7",
        "title": "水 😀",
        "answer": "It came before its question & is kept",
        "tags": "python list",
        "score": -4,
    },
    {"id": "9", "title": "", "answer": "", "tags": "", "score": 0},
]


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch):
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # tqdm has a thread of its own
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before  # one of another test may end meanwhile


@pytest.fixture
def site(tmp_path) -> Path:
    """An archive with other files beside, as sites' archives are."""
    return packed(tmp_path / "site.7z", {"Badges.xml": b"<badges/>" * 999, "Posts.xml": SITE, "Votes.xml": b"<votes/>"})


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """60,000 rows of 300 bytes."""
    file = tmp_path_factory.mktemp("large") / "large.7z"
    assert write_dump(file, 60_000, FAST) > 60_000 * 250
    return file


# What is whole


def test_rows_have_their_attributes_decoded(site):
    found = list(stackexchange.rows(site))
    assert [post["Id"] for post in found] == ["2", "1", "3", "4", "5", "6", "7", "8", "9", "10", "11"]
    assert found[1]["Title"] == "Tabs & “quotes” <b>"
    assert found[2]["Body"].startswith("<p>Use <code>a &lt; b</code>:</p>\n<pre>")
    assert "ViewCount" not in found[1]


def test_pairs_are_questions_with_their_accepted_answers(site):
    found = sorted(stackexchange.pairs(site), key=lambda pair: pair["id"])
    assert found == PAIRS
    assert list(found[0]) == stackexchange.COLUMNS


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression(tmp_path, compression):
    file = packed(tmp_path / "site.7z", {"Posts.xml": SITE}, COMPRESSIONS[compression])
    assert len(list(stackexchange.pairs(file))) == 3


def test_posts_in_a_folder_and_unpacked(tmp_path):
    file = packed(tmp_path / "site.7z", {"site/Posts.xml": SITE})
    (tmp_path / "Posts.xml").write_bytes(SITE)
    assert list(stackexchange.rows(file)) == list(stackexchange.rows(tmp_path / "Posts.xml"))


def test_table_and_its_limit(site):
    table = stackexchange.read_pairs(site)
    assert list(table.columns) == stackexchange.COLUMNS
    assert (len(table), table["score"].dtype, set(table["id"])) == (3, "int64", {"1", "7", "9"})
    assert len(stackexchange.read_pairs(site, limit=2)) == 2
    assert len(stackexchange.read_pairs(site, limit=0)) == 0


def test_a_site_without_questions(tmp_path):
    table = stackexchange.read_pairs(packed(tmp_path / "new.7z", {"Posts.xml": posts()}))
    assert (len(table), list(table.columns), table["score"].dtype) == (0, stackexchange.COLUMNS, "int64")


def test_bar_counts_the_bytes_of_the_posts(site, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE")
    list(stackexchange.rows(site, bar=True))
    assert "100%" in capsys.readouterr().err
    list(stackexchange.rows(site))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("https://example.org/a", "https://example.org/a"),
        ("<p>a &lt; b</p>\n<p>c</p>", "a < b\nc"),
        ("<pre><code>x = 1\n  y\n</code></pre>", "x = 1\n  y"),
        ("never <b>closed", "never closed"),
        ("<?xml version='1.0'?>x", "x"),
        ("<b>" * 5000 + "deep", "deep"),
    ],
)
def test_text_of_html(html, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stackexchange.text(html) == text


LEGAL = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
LINES = st.lists(LEGAL, max_size=4).map("\n\t\r".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=LINES, tags=LINES, body=LINES)
def test_any_text_comes_back(tmp_path, title, tags, body):
    file = tmp_path / "Posts.xml"
    file.write_bytes(posts(question(1, 2, Title=title, Tags=tags), answer(2, 1, Body=body)))
    first, second = stackexchange.rows(file)
    assert (first["Title"], first["Tags"], second["Body"]) == (title, tags, body)
    (pair,) = stackexchange.pairs(file)
    assert pair["title"] == title.strip()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["<", ">", "<!", "[", "<?", "--", "&", "&#", "</", "p", "div", '"', " ", "é"])))
def test_no_html_stops_the_text(pieces):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(stackexchange.text("".join(pieces)), str)


# What is broken


def test_cut_posts_keep_what_is_whole(tmp_path):
    lines = [question(n, n + 1) if n % 2 else answer(n, n - 1) for n in range(1, 1001)]
    whole = posts(*lines)
    file = tmp_path / "Posts.xml"
    for kept in (999, 500, 3):
        file.write_bytes(whole[: whole.index(lines[kept].encode()) + 20])
        found, error = until_broken(file)
        assert [post["Id"] for post in found] == [str(n) for n in range(1, kept + 1)]
        assert re.match(
            rf"Posts\.xml was cut or damaged after {kept} whole rows \(.*\); they are kept\. Delete it", error
        )


def until_broken(file: Path) -> tuple[list[dict], str]:
    """The rows of a file that breaks off, and what the error says."""
    found = []
    with pytest.raises(CutError) as caught:
        for post in stackexchange.rows(file):
            found.append(post)
    return found, str(caught.value)


def test_table_of_cut_posts_warns(tmp_path):
    lines = [question(1, 2), answer(2, 1), question(3, 4), answer(4, 3)]
    file = tmp_path / "Posts.xml"
    file.write_bytes(posts(*lines)[:-40])
    with pytest.warns(UserWarning, match="after 3 whole rows") as caught:
        table = stackexchange.read_pairs(file)
    assert list(table["id"]) == ["1"]
    assert caught[0].filename == __file__


def test_posts_cut_before_the_last_tag(tmp_path):
    (tmp_path / "Posts.xml").write_bytes(posts(question(1, 2), answer(2, 1)).removesuffix(b"</posts>"))
    assert len(until_broken(tmp_path / "Posts.xml")[0]) == 2


def test_posts_cut_before_the_first_row(tmp_path):
    (tmp_path / "Posts.xml").write_bytes(posts(question(1))[:60])
    with pytest.raises(StackExchangeError, match=r"^Posts\.xml holds no whole row \(.*\)\. Delete it and"):
        stackexchange.read_pairs(tmp_path / "Posts.xml")


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01])
def test_archive_without_its_end_cannot_be_read(tmp_path, large, keep):
    content = large.read_bytes()
    file = tmp_path / "cut.7z"
    file.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(
        StackExchangeError, match=r"^cut\.7z was cut or damaged: its index, which a 7z keeps at its end"
    ):
        list(stackexchange.rows(file))


@pytest.mark.parametrize("compression", ["lzma2", "bzip2"])
def test_damaged_archive_gives_what_comes_before(tmp_path, compression):
    file = tmp_path / "damaged.7z"
    write_dump(file, 6_000, COMPRESSIONS[compression])
    undamaged = list(stackexchange.rows(file))
    content = bytearray(file.read_bytes())
    content[-len(content) // 10] ^= 255
    file.write_bytes(content)
    found, _ = until_broken(file)
    assert 1000 < len(found) < 6000
    assert found[:-1] == undamaged[: len(found) - 1]


def test_wrong_checksum_is_told_at_the_end(tmp_path):
    """A stored archive: the damage is well-formed, so that only the checksum can tell."""
    file = packed(tmp_path / "site.7z", {"Posts.xml": SITE}, [{"id": py7zr.FILTER_COPY}])
    file.write_bytes(file.read_bytes().replace(b"Nobody", b"Nobudy"))
    found, error = until_broken(file)
    assert (len(found), "CRC" in error or "Crc" in error) == (11, True)


@pytest.mark.parametrize("content", [b"hello", b"\0" * 1000, b"PK\3\4" + b"x" * 99, b"BZh9"])
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "x.7z").write_bytes(content)
    with pytest.raises(StackExchangeError, match=r"^x\.7z is neither a 7z archive nor a Posts\.xml\. Delete it and"):
        list(stackexchange.rows(tmp_path / "x.7z"))


def test_garbage_that_begins_like_an_archive(tmp_path):
    (tmp_path / "x.7z").write_bytes(stackexchange.SEVEN_ZIP + b"\0\4" + b"x" * 99)
    with pytest.raises(StackExchangeError, match="its index"):
        list(stackexchange.rows(tmp_path / "x.7z"))


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "x.7z").write_bytes(b"")
    with pytest.raises(StackExchangeError, match=r"^x\.7z is empty\."):
        list(stackexchange.rows(tmp_path / "x.7z"))
    with pytest.raises(StackExchangeError, match=r"^y\.7z cannot be read \(No such file"):
        list(stackexchange.rows(tmp_path / "y.7z"))


@pytest.mark.parametrize(("members", "listed"), [({}, "nothing"), ({"A.xml": b"<a/>", "B.xml": b"b"}, "A.xml, B.xml")])
def test_archive_without_posts(tmp_path, members, listed):
    file = packed(tmp_path / "x.7z", members)
    with pytest.raises(StackExchangeError, match=rf"^x\.7z holds no Posts\.xml, but: {listed}\."):
        list(stackexchange.rows(file))


def test_empty_posts(tmp_path):
    with pytest.raises(StackExchangeError, match="holds no whole row"):
        list(stackexchange.rows(packed(tmp_path / "x.7z", {"Posts.xml": b"", "A.xml": b"<a/>"})))


BOMB = b'<!DOCTYPE posts [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><posts><row Id="&b;"/></posts>'


@pytest.mark.parametrize("xml", [BOMB, b'<!DOCTYPE posts SYSTEM "file:///etc/passwd"><posts><row Id="1"/></posts>'])
def test_xml_bomb_is_refused(tmp_path, xml):
    with pytest.raises(StackExchangeError, match=r"^x\.7z is refused: it declares a document type or entities"):
        list(stackexchange.rows(packed(tmp_path / "x.7z", {"Posts.xml": xml})))


# Streams


def test_early_stop_ends_the_thread(large):
    before = threading.active_count()
    some = stackexchange.rows(large)
    next(some)
    assert threading.active_count() == before + 1
    some.close()
    assert threading.active_count() == before
    assert len(stackexchange.read_pairs(large, limit=5)) == 5
    assert threading.active_count() == before


def test_memory_stays_flat(large):
    peaks = []
    tracemalloc.start()
    try:
        for number, _ in enumerate(stackexchange.rows(large), 1):
            if number in (20_000, 60_000):
                peaks.append(tracemalloc.get_traced_memory()[1])
            if number in (1, 20_000):  # not what py7zr took, 16 MB, to unpack the index that it wrote
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert len(peaks) == 2
    assert max(peaks) < 15e6
    assert peaks[1] < peaks[0] + 1e6


# The download


class Archive(local_server.Handler):
    """archive.org: some files under /download/stackexchange/; each answers 503 as often as it is told to."""

    files: dict[str, bytes]
    busy: int
    seen: list[tuple[str, float, str]]

    def do_GET(self):
        self.seen.append((self.path, time.monotonic(), self.headers["User-Agent"]))
        body = self.files.get(self.path.removeprefix("/download/stackexchange/"))
        busy, type(self).busy = self.busy, max(0, self.busy - 1)
        status = 503 if busy else 404 if body is None else 200
        self.reply(status, {}, body if status == 200 else b"")


@pytest.fixture
def home():
    Archive.files, Archive.busy, Archive.seen = {}, 0, []
    with local_server.serving(Archive) as address:
        yield f"{address}download/stackexchange/"


def test_download_and_read(home, site, tmp_path, monkeypatch):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "generated"))
    Archive.files["cooking.stackexchange.com.7z"] = site.read_bytes()
    file = stackexchange.download("cooking", home=home, pause=0)
    assert file == tmp_path / "generated" / "stackexchange" / "cooking.stackexchange.com.7z"
    assert len(stackexchange.read_pairs(file)) == 3
    assert stackexchange.download("cooking", home=home, pause=0) == file
    assert [agent for _, _, agent in Archive.seen] == [data.USER_AGENT]


def test_busy_server_is_asked_again(home, site, tmp_path):
    Archive.files["superuser.com.7z"], Archive.busy = site.read_bytes(), 2
    assert stackexchange.download("superuser", tmp_path / "here", home=home, pause=0).parent == tmp_path / "here"
    assert len(Archive.seen) == 3


def test_failed_downloads_say_why(home, tmp_path):
    with pytest.raises(StackExchangeError, match=r"^There is no http.*/baking\.stackexchange\.com\.7z\. Names"):
        stackexchange.download("baking", tmp_path, home=home, pause=0)
    Archive.busy = 99
    with pytest.raises(data.DataError, match="failed"):
        stackexchange.download("cooking", tmp_path, home=home, pause=0, retries=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("site", "file"),
    [
        ("cooking", "cooking.stackexchange.com.7z"),
        ("cooking.stackexchange.com", "cooking.stackexchange.com.7z"),
        ("meta", "meta.stackexchange.com.7z"),
        ("ai.meta", "ai.meta.stackexchange.com.7z"),
        ("superuser", "superuser.com.7z"),
        ("meta.superuser", "meta.superuser.com.7z"),
        ("serverfault.com", "serverfault.com.7z"),
        ("askubuntu", "askubuntu.com.7z"),
        ("mathoverflow.net", "mathoverflow.net.7z"),
        ("stackoverflow", "stackoverflow.com-Posts.7z"),
        ("meta.stackoverflow", "meta.stackoverflow.com.7z"),
        ("pt.stackoverflow", "pt.stackoverflow.com.7z"),
    ],
)
def test_addresses(site, file):
    assert stackexchange.address(site) == stackexchange.HOME + file


@pytest.mark.parametrize("site", ["", "../etc", "a b", "A", "a/b", "a..b"])
def test_no_address(site):
    with pytest.raises(StackExchangeError, match="No site is called"):
        stackexchange.address(site)
