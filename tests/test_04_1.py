"""Recipe 4.1: the client of the dumps, the parser of notebook 04.1, and what happens when things break."""

import bz2
import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import local_server
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import book
from cookbook import data, paths
from cookbook.sources import replay, wikipedia

nb = book.definitions("04.1")

DATA = "testwiki-20261101-pages-articles-multistream.xml.bz2"
INDEX = "testwiki-20261101-pages-articles-multistream-index.txt.bz2"


def page(title: str, text: str = "text", number: int = 1, extra: str = "") -> bytes:
    return (
        f"<page>\n<title>{title}</title>\n<ns>0</ns>\n<id>{number}</id>{extra}\n"
        f"<revision><id>7</id><text>{text}</text></revision>\n</page>"
    ).encode()


def one(text: str) -> dict | None:
    return nb.film(nb.Page("A film", 1, text))


@pytest.fixture(scope="module")
def sample() -> dict[str, dict]:
    """The records of both samples, by title."""
    both = itertools.chain(*(nb.dump_pages(data.path(name)) for name in ("wikipedia-dump", "film-pages")))
    return {record["title"]: record for record in nb.records(both)}


@pytest.fixture
def dump(tmp_path) -> tuple[Path, list[int]]:
    """A multistream dump of 30 of our pages in blocks of 4, and where its blocks begin."""
    elements = list(nb.page_elements(nb.read_dump(data.path("film-pages"))))
    file, index = tmp_path / DATA, tmp_path / INDEX
    nb.write_multistream((elements * 2)[:30], file, index, per_block=4)
    return file, wikipedia.offsets(index)


# The client


class Wikimedia(local_server.Handler):
    """Answers from a table of path → (status, headers, body) or a list of such, one after the other."""

    answers: dict
    seen: list[tuple[str, float, str | None, str | None]]

    def do_GET(self):
        self.seen.append((self.path, time.monotonic(), self.headers["User-Agent"], self.headers["Range"]))
        answer = self.answers.get(self.path, (404, {}, b"not here"))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            return answer(self)
        self.reply(*answer)


@pytest.fixture
def home():
    Wikimedia.answers, Wikimedia.seen = {}, []
    with local_server.serving(Wikimedia) as address:
        yield address


def listing(*dates: str) -> tuple:
    lines = "".join(f'<a href="{date}/">{date}/</a>\n' for date in (*dates, "latest"))
    return 200, {}, f'<html><a href="../">../</a>{lines}</html>'.encode()


def status(state: str = "done", files: dict[str, bytes] | None = None) -> tuple:
    """A dumpstatus.json in the form that Wikimedia publishes."""
    described = {
        name: {
            "size": len(content),
            "url": f"/testwiki/20261101/{name}",
            "md5": hashlib.md5(content).hexdigest(),
            "sha1": hashlib.sha1(content).hexdigest(),
        }
        for name, content in (files or {}).items()
    }
    job = {"status": state, "updated": "2026-11-03 04:05:06", "files": described}
    jobs = {"articlesdump": {"status": "done"}, "articlesmultistreamdump": job}
    return 200, {}, json.dumps({"version": "0.8", "jobs": jobs}).encode()


FILES = {DATA: b"d" * 500_000, INDEX: b"i" * 100}


def dumps(home: str, **options) -> wikipedia.Dumps:
    return wikipedia.Dumps(home, **{"pause": 0, "retries": 2, "timeout": 5} | options)


def test_newest_finished_dump_is_found(home):
    Wikimedia.answers = {
        "/testwiki/": listing("20261001", "20261120", "20261101", "20261110"),
        "/testwiki/20261120/dumpstatus.json": status("in-progress"),
        "/testwiki/20261110/dumpstatus.json": (200, {}, b"<html>not JSON"),
        "/testwiki/20261101/dumpstatus.json": status(files=FILES),
    }
    dump = dumps(home).newest("testwiki")
    assert (dump.wiki, dump.date) == ("testwiki", "20261101")
    ((pages, index),) = dump.parts
    assert (pages.name, pages.size, index.name) == (DATA, 500_000, INDEX)
    assert pages.url == f"{home}testwiki/20261101/{DATA}"
    assert pages.sha1 == hashlib.sha1(FILES[DATA]).hexdigest()
    assert all(agent == data.USER_AGENT for _, _, agent, _ in Wikimedia.seen)


def test_parts_of_a_large_wiki_are_paired_and_in_order(home):
    ranges = ("1{}-p1p41242", "10{}-p4045403p5399366", "2{}-p41243p151573")
    names = [
        f"enwiki-20261101-pages-articles-multistream{kind}{each.format(suffix)}.bz2"
        for each in ranges
        for kind, suffix in (("", ".xml"), ("-index", ".txt"))
    ]
    Wikimedia.answers = {
        "/enwiki/": listing("20261101"),
        "/enwiki/20261101/dumpstatus.json": status(files=dict.fromkeys([*names, "../evil", "a.sql.gz"], b"x")),
    }
    parts = dumps(home).newest("enwiki").parts
    assert [wikipedia._first_page(part) for part in parts] == [1, 41243, 4045403]
    assert all(wikipedia._pages_of(index.name) == pages.name for pages, index in parts)


@pytest.mark.parametrize("broken", [b"[]", b"{}", b'{"jobs": {"articlesmultistreamdump": null}}', b"\xff\x00", b""])
def test_broken_status_is_passed_over(home, broken):
    Wikimedia.answers = {
        "/testwiki/": listing("20261101"),
        "/testwiki/20261101/dumpstatus.json": (200, {}, broken),
    }
    with pytest.raises(wikipedia.WikipediaError, match=r"No dump of testwiki is finished: 20261101 has an unread"):
        dumps(home).newest("testwiki")


def test_no_finished_dump_names_the_reasons(home):
    Wikimedia.answers = {
        "/testwiki/": listing("20261101", "20261120", "20261121"),
        "/testwiki/20261120/dumpstatus.json": status("in-progress"),
        "/testwiki/20261101/dumpstatus.json": status(files={}),
    }
    with pytest.raises(
        wikipedia.WikipediaError, match="20261121 has no status, 20261120 is in-progress, 20261101 lists"
    ):
        dumps(home).newest("testwiki")


@pytest.mark.parametrize("name", ["moviewiki", "", "../etc", "EN", "en wiki"])
def test_no_such_wiki(home, name):
    with pytest.raises(wikipedia.WikipediaError, match=r"has no wiki .* Names are such as enwiki"):
        dumps(home).newest(name)


def test_empty_listing(home):
    Wikimedia.answers = {"/testwiki/": (200, {}, b"<html></html>")}
    with pytest.raises(wikipedia.WikipediaError, match="lists no dumps"):
        dumps(home).newest("testwiki")


def test_retry_after_is_honoured(home):
    Wikimedia.answers = {
        "/testwiki/": [(429, {"Retry-After": "1"}, b"slow down"), (503, {}, b""), listing("20261101")],
        "/testwiki/20261101/dumpstatus.json": status(files=FILES),
    }
    assert dumps(home).newest("testwiki").date == "20261101"
    times = [when for path, when, *_ in Wikimedia.seen if path == "/testwiki/"]
    assert len(times) == 3
    assert times[1] - times[0] >= 1


def test_requests_keep_their_distance(home):
    Wikimedia.answers = {"/testwiki/": listing("20261101"), "/testwiki/20261101/dumpstatus.json": status(files=FILES)}
    dumps(home, pause=0.3).newest("testwiki")
    assert Wikimedia.seen[1][1] - Wikimedia.seen[0][1] >= 0.29


def test_too_many_requests_for_ever(home):
    Wikimedia.answers = {"/testwiki/": (429, {"Retry-After": "0"}, b"")}
    with pytest.raises(wikipedia.WikipediaError, match=r"gave no good answer \(RetryError\)"):
        dumps(home).newest("testwiki")
    assert len(Wikimedia.seen) == 3


def test_slow_and_dead_servers(home):
    Wikimedia.answers = {"/testwiki/": lambda _: time.sleep(1)}
    with pytest.raises(wikipedia.WikipediaError, match="Check the connection"):
        dumps(home, timeout=0.1, retries=0).newest("testwiki")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(wikipedia.WikipediaError, match="Check the connection"):
            dumps(f"http://127.0.0.1:{free.getsockname()[1]}/", retries=0).newest("testwiki")


def cutting(content: bytes, piece: int):
    """An answer that honours ranges and drops the connection after `piece` bytes."""

    def answer(handler: Wikimedia) -> None:
        start = int(handler.headers["Range"][6:-1]) if handler.headers["Range"] else 0
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : start + piece])

    return answer


def test_download_goes_on_after_each_cut(home, tmp_path):
    content = os.urandom(500_000)
    Wikimedia.answers = {f"/{DATA}": cutting(content, 200_000)}
    file = wikipedia.File(DATA, f"{home}{DATA}", len(content), hashlib.sha1(content).hexdigest())
    assert dumps(home, retries=6).download(file, tmp_path).read_bytes() == content
    ranges = [int(each[6:-1]) for *_, each in Wikimedia.seen if each]
    assert Wikimedia.seen[0][3] is None
    assert ranges == sorted(set(ranges)), "no byte was fetched twice"
    assert [each.name for each in tmp_path.iterdir()] == [DATA]


def test_download_keeps_what_came_and_gives_up(home, tmp_path):
    content = os.urandom(500_000)
    Wikimedia.answers = {f"/{DATA}": [cutting(content, 200_000), (404, {}, b"")]}
    file = wikipedia.File(DATA, f"{home}{DATA}", len(content), hashlib.sha1(content).hexdigest())
    with pytest.raises(data.DataError, match="bytes are kept"):
        dumps(home).download(file, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [f"{DATA}.part"]
    Wikimedia.answers = {f"/{DATA}": cutting(content, 500_000)}
    assert dumps(home).download(file, tmp_path).read_bytes() == content


def test_changed_download_is_not_tried_for_ever(home, tmp_path):
    Wikimedia.answers = {f"/{DATA}": (200, {}, b"something else")}
    file = wikipedia.File(DATA, f"{home}{DATA}", 14, hashlib.sha1(b"right").hexdigest())
    with pytest.raises(data.DataError, match="arrived changed"):
        dumps(home).download(file, tmp_path)
    assert len(Wikimedia.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_index_and_blocks(dump, tmp_path):
    file, blocks = dump
    lines = list(wikipedia.index(tmp_path / INDEX))
    assert len(lines) == 30
    assert len(blocks) == 8
    assert lines[4] == (blocks[1], 105, "Casablanca (film)")
    assert [wikipedia.block(file, offset).count(b"<page>") for offset in blocks] == [4] * 7 + [2]
    assert bz2.decompress(file.read_bytes()).endswith(b"</mediawiki>\n")


def test_title_with_colons_and_broken_lines(tmp_path):
    file = tmp_path / "index.bz2"
    file.write_bytes(bz2.compress("51:7:2001: A Space Odyssey: Ä\n".encode()))
    assert list(wikipedia.index(file)) == [(51, 7, "2001: A Space Odyssey: Ä")]
    for content in (bz2.compress(b"51:7\n"), bz2.compress(b"x:7:T\n"), b"no bz2", bz2.compress(b"5:7:T\n" * 999)[:-9]):
        file.write_bytes(content)
        with pytest.raises(wikipedia.WikipediaError, match=r"index\.bz2 is no whole multistream index"):
            list(wikipedia.index(file))


def test_bad_blocks(dump):
    file, blocks = dump
    with pytest.raises(wikipedia.WikipediaError, match=r"No block begins at byte 7 of"):
        wikipedia.block(file, 7)
    file.write_bytes(file.read_bytes()[: blocks[-1] + 50])
    with pytest.raises(wikipedia.WikipediaError, match="was cut: the block at byte"):
        wikipedia.block(file, blocks[-1])


def test_a_folder_can_be_served(tmp_path):
    (tmp_path / "testwiki" / "20261101").mkdir(parents=True)
    (tmp_path / "testwiki" / "20261101" / "dumpstatus.json").write_bytes(status(files=FILES)[2])
    with replay.served(tmp_path) as address:
        assert dumps(address).newest("testwiki").date == "20261101"
    with pytest.raises(wikipedia.WikipediaError):
        dumps(address, retries=0).newest("testwiki")


# Pages


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_pages_do_not_depend_on_chunks(size):
    content = data.path("film-pages").read_bytes()
    whole = list(nb.pages([content]))
    assert list(nb.pages(content[i : i + size] for i in range(0, len(content), size))) == whole
    assert [p.title for p in whole][:3] == ["Alien (film)", "Amélie", "Blade Runner"]  # and not the redirect
    assert [p.title for p in whole if p.problem] == ["12 Angry Men (1957 film)"]


def test_real_dump():
    found = list(nb.dump_pages(data.path("wikipedia-dump")))
    assert len(found) == 106
    assert not any(p.problem for p in found)
    assert found[-1].title == "Algorithm"


BROKEN = {
    "entity": b"<page><title>B</title><ns>0</ns><id>5</id><text>&nosuch;</text></page>",
    "tag": b"<page><title>B</title><ns>0</ns><id>5</id><text>a<b></text></page>",
    "bytes": b"<page><title>B</title><ns>0</ns><id>5</id><text>\xff\xfe</text></page>",
    "no end": b"<page><title>B</title><ns>0</ns><id>5</id><text>never",
    "no begin": b"<title>B</title></page>",
    "doctype": b'<page><!DOCTYPE x [<!ENTITY a "b">]><title>B</title></page>',
    "root": b"<page></mediawiki></page>",
    "zero": b"<page>\x00</page>",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_page_does_not_stop_the_others(broken):
    found = list(nb.pages([b"<mediawiki>", page("A"), broken, page("C", number=9), b"</mediawiki>"]))
    assert [p.title for p in found if not p.problem] == ["A", "C"]
    assert found[-1] == nb.Page("C", 9, "text")
    (problem,) = [p for p in found if p.problem]
    assert problem.text == ""


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_between_good_pages(noise, size):
    stream = page("A") + noise + page("B")
    found = list(nb.pages(stream[i : i + size] for i in range(0, len(stream), size)))
    assert found[0] == nb.Page("A", 1, "text")
    assert found[-1] == nb.Page("B", 1, "text")


def test_endless_page_is_given_up(monkeypatch):
    monkeypatch.setitem(nb.__dict__, "LONGEST", 1000)
    found = list(nb.pages([b"<page><title>E</title>", *[b"x" * 100] * 50, b"</page>", page("A")]))
    assert found[-1] == nb.Page("A", 1, "text")
    assert found[0].problem


def test_cut_dump_keeps_what_is_whole(tmp_path):
    for name, keep in (("wikipedia-dump", 900_000), ("film-pages", 9_000)):
        cut = tmp_path / f"{name}.cut"
        cut.write_bytes(data.path(name).read_bytes()[:keep])
        *kept, last = nb.dump_pages(cut)
        assert [p for p in kept if not p.problem] == list(nb.dump_pages(data.path(name)))[: len(kept)]
        assert len(kept) >= 4
        assert last.problem.startswith(f"cut after the page {kept[-1].title!r}: what came before is kept")


def test_damaged_dump_keeps_what_is_before(tmp_path):
    damaged = bytearray(data.path("wikipedia-dump").read_bytes())
    damaged[1_000_000] ^= 255
    (tmp_path / "damaged.bz2").write_bytes(damaged)
    *kept, last = nb.dump_pages(tmp_path / "damaged.bz2")
    assert len(kept) > 10
    assert "cut after" in last.problem


@pytest.mark.parametrize("content", [b"", b"hello", b"BZh", b"BZh91AY&SY" + b"x" * 99, bz2.compress(b"hello" * 999)])
def test_no_dump(tmp_path, content):
    (tmp_path / "x.bz2").write_bytes(content)
    with pytest.raises(wikipedia.WikipediaError, match=r"^x\.bz2 is no dump: it does not begin with <mediawiki>\.$"):
        list(nb.dump_pages(tmp_path / "x.bz2"))


@pytest.mark.slow
def test_memory_stays_flat():
    """The peak of a process that parses 8 times as much is not larger by more than 10 MB."""
    code = """
        import bz2, itertools, resource, sys, book
        from cookbook import data
        nb = book.definitions("04.1")
        content = bz2.open(data.path("wikipedia-dump")).read()
        chunks = [content[i : i + 1_000_000] for i in range(0, len(content), 1_000_000)]
        sum(1 for _ in nb.records(nb.pages(itertools.chain(*[chunks] * int(sys.argv[1])))))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])}
    peaks = []
    for times in ("1", "8"):
        command = [sys.executable, "-c", textwrap.dedent(code), times]
        answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        peaks.append(int(answer.stdout) / (1 << 20 if sys.platform == "darwin" else 1 << 10))
    assert peaks[1] < peaks[0] + 10, peaks


# Films


def test_extraction_against_the_truth(sample):
    truth = [json.loads(line) for line in data.path("film-truth").read_text("utf8").splitlines()]
    films = {title: nb.facts(record) for title, record in sample.items() if "problem" not in record}
    assert set(films) == {film["title"] for film in truth}
    table, odd = nb.compare(films, truth)
    assert (table[["precision", "recall"]] >= 0.9).all(axis=None)
    assert (table.loc[["links", "starring", "year", "average"], ["precision", "recall"]] == 1).all(axis=None)
    assert len(odd) == 5


def test_problems_are_listed_with_title_and_reason(sample):
    problems = {title: record["problem"] for title, record in sample.items() if "problem" in record}
    assert problems["Brazil (1985 film)"] == "the infobox is never closed"
    assert problems["12 Angry Men (1957 film)"].startswith("XML not well-formed")
    assert len(problems) == 2


def test_real_film(sample):
    actrius = sample["Actrius"]
    assert actrius["id"] == 330
    assert actrius["properties"]["starring"] == ["Núria Espert", "Rosa Maria Sardà", "Anna Lizaran", "Mercè Pons"]
    assert actrius["properties"]["released"] == ["1997-01-17 (Spain)"]
    assert "narrator" not in actrius["properties"]
    assert actrius["rotten_tomatoes"] == {}
    assert len(actrius["links"]) == 27


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("[[Ridley Scott]]", ["Ridley Scott"]),
        ("[[Ridley Scott|Scott]] <!-- no more -->", ["Scott"]),
        ("{{ubl|[[A]]|B}}", ["A", "B"]),
        ("{{ubl|1=A|2=B|class=x}}", ["A", "B"]),
        ("{{Plainlist|\n* [[A]]\n* ''B''<ref>no</ref>\n}}", ["A", "B"]),
        ("{{plainlist}}\n* A\n* B\n{{endplainlist}}", ["A", "B"]),
        ("A<br>B<br />C<BR/>D", ["A", "B", "C", "D"]),
        ("{{nowrap|[[A|B]]}} {{small|(voice)}}", ["B (voice)"]),
        ("{{Film date|1979|5|25|United States|1979|9|6}}", ["1979-05-25 (United States)", "1979-09-06"]),
        ("{{film date|df=yes|1972}}", ["1972"]),
        ("{{langx|fr|Amélie}} and {{lang|ja|七人}}", ["Amélie and 七人"]),
        ("97&nbsp;minutes{{efn|A note.}}", ["97 minutes"]),
        ("[[File:A.jpg|thumb|B]]", []),
        ("{{based on|''[[A (novel)|A]]''|[[B]]}}", ["A", "B"]),
        ("<!-- none -->", []),
        ("{{cite web|title=x}}", []),
        ("{{red link template}}", []),
    ],
)
def test_values_of_properties(value, lines):
    for name in ("Infobox film", "infobox film", "Infobox_film", "Infobox film <!-- x -->", "\nInfobox Film\n"):
        found = one(f"{{{{{name}\n| key_word = {value}\n}}}}")
        assert found["properties"] == ({"key word": lines} if lines else {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A film without an infobox",
        "{{Infobox website|name=Infobox film}}",
        "{{Infobox film awards|name=Oscars}}",
        "{{Infobox Film festival}}",
        "<nowiki>{{Infobox film|director=A}}</nowiki>",
        "<!-- {{Infobox film|director=A}} -->",
        "{{tl|Infobox film}}",
    ],
)
def test_what_is_no_film(text):
    assert one(text) is None


def test_infobox_inside_another_template():
    assert one("{{stack|{{Infobox film|director=A}}}}")["properties"] == {"director": ["A"]}


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("[[a b]] [[A_b#part|c]] [[ A  b ]]", ["A b"]),
        ("[[File:X.jpg|a [[b]] c]] [[Category:Y]] [[:Category:Y]] [[fr:Z]] [[wikt:q]] [[Image:i.png]]", ["B"]),
        ("[[Mission: Impossible]] [[2001: A Space Odyssey (film)|2001]]", None),
        ("[[User talk:A]] [[#here]] [[|x]] [[]] [[ ]]", []),
        ("[[R&amp;B]] <ref>[[In a note]]</ref> {{x|[[In a template]]}}", ["R&B", "In a note", "In a template"]),
        ("[[:Colon]] <!-- [[no]] --> <nowiki>[[no]]</nowiki>", ["Colon"]),
        ("[[A film]] [[Other]]", ["Other"]),
    ],
)
def test_links(text, titles):
    titles = ["Mission: Impossible", "2001: A Space Odyssey (film)"] if titles is None else titles
    assert one("{{Infobox film}} " + text)["links"] == titles


RT = {"percent": 91, "reviews": 85, "average": 7.9}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "On [[Rotten Tomatoes]], the film holds an approval rating of 91% based on 85 reviews, "
            "with an average rating of 7.9/10.",
            RT,
        ),
        ("{{Rotten Tomatoes prose|91|7.9|85}}", RT),
        ("{{RT prose|91|7.9|85|The critics' view.|ref=yes}}", RT),
        ("Rotten Tomatoes has a score of 91% from 85 critics.<ref>x</ref> The average is 7.9 out of 10.", RT),
        ("It has 91 percent on Rotten Tomatoes (85 reviews, average 7.9/10).", RT),
        ("On Metacritic it has 70% of 12 reviews. On Rotten Tomatoes, 91% of 85 critics' reviews are good.", None),
        ("''Rotten Tomatoes'': 91%, 1,085 reviews. Metacritic has 76 out of 100.", {"percent": 91, "reviews": 1085}),
        ("Rotten Tomatoes lists 42 reviews. It won 90% of the vote.", {}),
        ("A share of 91% liked it.", {}),
        ("", {}),
    ],
)
def test_rotten_tomatoes(text, found):
    expected = {"percent": 91, "reviews": 85} if found is None else found
    assert nb.rotten_tomatoes("Before.\n" + text + "\nAfter, 50% more.") == expected


MARKS = ["{{", "}}", "[[", "]]", "|", "=", "\n", "''", "<!--", "-->", "<ref>", "</ref>", "<br", ">", "*", "#", "&amp;"]
WORDS = [
    "Infobox film",
    "Film date",
    "ubl",
    "starring",
    "Rotten Tomatoes",
    "91%",
    "7/10",
    "File:",
    "a",
    "é",
    " ",
    "1997",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(MARKS + WORDS), max_size=60).map("".join))
def test_no_wikitext_stops_the_parser(text):
    for lines in (
        text,
        "{{Infobox film|" + text,
        "{{Infobox film\n| starring = " + text + "\n}}\nRotten Tomatoes " + text,
    ):
        some = list(nb.records([nb.Page("A", 1, lines), nb.Page("B", 2, "{{Infobox film}}")]))
        assert some[-1]["title"] == "B"
        assert all(json.loads(json.dumps(record)) == record for record in some)


@pytest.mark.parametrize(
    "text", ["{{a|" * 100_000, "{{a|" * 250, "[[" * 5000 + "}}", "{{Infobox film|" * 250, "<ref>" * 500]
)
def test_deep_nesting_is_a_problem_at_most(text):
    """The wikitext parser's time grows with the square of what is never closed."""
    *_, last = nb.records([nb.Page("A", 1, "{{Infobox film|a=" + text), nb.Page("B", 2, "{{Infobox film}}")])
    assert last["title"] == "B"


def test_any_error_becomes_a_problem(monkeypatch):
    def fails(page):
        raise RecursionError if page.id == 1 else ValueError("no")

    monkeypatch.setitem(nb.__dict__, "film", fails)
    assert list(nb.records([nb.Page("A", 1, ""), nb.Page("B", 2, "")])) == [
        {"title": "A", "id": 1, "problem": "RecursionError"},
        {"title": "B", "id": 2, "problem": "no"},
    ]


# Many cores


def test_ndjson_is_there_when_it_is_whole(tmp_path):
    file = tmp_path / "folder" / "a.ndjson"

    def lines():
        yield {"title": "Ä\u2028\n"}
        assert not file.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nb.write_ndjson(lines(), file)
    assert not file.exists()
    nb.write_ndjson([{"title": "Ä\u2028\n"}, {}], file)
    assert [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] == [{"title": "Ä\u2028\n"}, {}]


def test_same_bytes_from_every_way(dump, tmp_path, monkeypatch):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "generated"))
    monkeypatch.delenv("DASK_SCHEDULER", raising=False)
    file, blocks = dump
    assert nb.parse_dump(file, blocks, tmp_path / "one") == []
    for name, way in (("two", nb.processes), ("dask", nb.dask_workers)):
        with way() as pool:
            assert nb.parse_dump(file, blocks, tmp_path / name, pool) == []
        assert nb.join_parts(tmp_path / name) == nb.join_parts(tmp_path / "one")
    straight = [*nb.records(nb.pages(nb.read_dump(file)))]
    assert [json.loads(line) for line in nb.join_parts(tmp_path / "one").splitlines()] == straight


def test_a_scheduler_that_runs_already_is_used(dump, tmp_path, monkeypatch):
    from dask.distributed import LocalCluster

    file, blocks = dump
    here = {"host": "127.0.0.1", "dashboard_address": None, "local_directory": tmp_path}
    with LocalCluster(n_workers=1, threads_per_worker=1, **here) as cluster:
        monkeypatch.setenv("DASK_SCHEDULER", cluster.scheduler_address)
        with nb.dask_workers() as pool:
            assert nb.parse_dump(file, blocks, tmp_path / "dask", pool) == []
        assert cluster.scheduler.workers, "a cluster that is not ours stays"


def test_second_run_does_only_what_is_missing(dump, tmp_path):
    file, blocks = dump
    nb.parse_dump(file, blocks, tmp_path / "parts")
    whole, times = nb.join_parts(tmp_path / "parts"), {}
    first, second, *others = sorted((tmp_path / "parts").iterdir())
    first.unlink()
    second.rename(second.with_name(second.name + ".unfinished"))
    times = {part: part.stat().st_mtime_ns for part in others}
    totals = []
    nb.parse_dump(file, blocks, tmp_path / "parts", bar=lambda done, total: totals.append(total) or done)
    assert totals == [2]
    assert nb.join_parts(tmp_path / "parts") == whole
    assert times == {part: part.stat().st_mtime_ns for part in others}


def test_block_that_cannot_be_read_is_tried_again(dump, tmp_path):
    file, blocks = dump
    whole = file.read_bytes()
    file.write_bytes(whole[: blocks[-1] + 20])
    (reason,) = nb.parse_dump(file, blocks, tmp_path / "parts")
    assert "was cut" in reason
    assert len(list((tmp_path / "parts").glob("*.ndjson"))) == len(blocks) - 1
    file.write_bytes(whole)
    assert nb.parse_dump(file, blocks, tmp_path / "parts") == []
    assert len(list((tmp_path / "parts").glob("*.ndjson"))) == len(blocks)


SCRIPT = """
    import sys, time
    from pathlib import Path
    import book
    from cookbook.sources import wikipedia

    if __name__ == "__main__":
        nb = book.definitions("04.1")
        file, index, folder = map(Path, sys.argv[1:])

        def slowly(done, total):
            for reason in done:
                print("done", flush=True)
                yield reason

        plain = nb.parse_block
        def slow_block(*arguments):
            time.sleep(0.3)
            return plain(*arguments)
        nb.parse_block = slow_block
        with nb.processes() as pool:
            nb.parse_dump(file, wikipedia.offsets(index), folder, pool, bar=slowly)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to a group")
def test_ctrl_c_loses_nothing(dump, tmp_path):
    """A real Ctrl-C, which reaches the process and its workers; then another run does the rest."""
    file, blocks = dump
    nb.parse_dump(file, blocks, tmp_path / "whole")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, script, file, tmp_path / INDEX, tmp_path / "parts"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": env, "start_new_session": True}
    with subprocess.Popen(command, **quiet) as process:
        process.stdout.readline()
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    assert not alive(process.pid), "no worker is left"
    before = {part: part.stat().st_mtime_ns for part in (tmp_path / "parts").glob("*.ndjson")}
    assert 2 <= len(before) < len(blocks)
    subprocess.run(command, env=env, check=True, capture_output=True)
    assert nb.join_parts(tmp_path / "parts") == nb.join_parts(tmp_path / "whole")
    assert before == {part: part.stat().st_mtime_ns for part in before}


def alive(group: int) -> bool:
    """Whether a process of this group is there after ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def test_error_leaves_no_process(tmp_path, monkeypatch):
    import psutil

    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    for way in (nb.processes, nb.dask_workers):
        with pytest.raises(RuntimeError, match="a cell fails"), way() as pool:
            pool.submit(os.getpid).result()
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                for each in process.net_connections():
                    assert each.status != "LISTEN" or each.laddr.ip == "127.0.0.1", "nobody else may connect"
                    assert each.laddr.port != 8787 or each.status != "LISTEN", "there is no dashboard"
            raise RuntimeError("a cell fails")
    own = [each for each in psutil.Process().children(recursive=True) if each not in before]
    left = [each for each in own if "resource_tracker" not in " ".join(each.cmdline())]
    assert not left, [each.cmdline() for each in left]


def test_samples_are_described():
    assert "CC0" in data.describe("film-pages")["licence"]
    assert data.path("film-pages").parent == paths.DATA / "04"
