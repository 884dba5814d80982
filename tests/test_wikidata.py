"""Wikidata and Commons, played by a local server: good, empty, slow, rate-limited, broken, cut and huge answers."""

import functools
import io
import json
import re
import signal
import struct
import threading
import time
import zlib
from collections import Counter, defaultdict
from urllib.parse import parse_qs, quote, unquote, urlsplit

import local_server
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cookbook.sources import gallery, wikidata
from cookbook.sources.wikidata import Item, TooLongError, Wikidata, WikidataError

ENTITY, FILE_PATH = "http://www.wikidata.org/entity/", "http://commons.wikimedia.org/wiki/Special:FilePath/"
TIME_OUT = "SPARQL-QUERY: queryStr=SELECT\njava.util.concurrent.TimeoutException\n\tat java.util.concurrent.FutureTask"


def picture(colour: str = "red", kind: str = "JPEG") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(made, kind)
    return made.getvalue()


def bomb() -> bytes:
    """A small PNG that says it is 40,000 pixels wide and high."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(9))}
    made = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks.items():
        made += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return made


class Wikimedia:
    """The query service, Commons' API and its pictures. Each path first gives what is in `plan` for it."""

    def __init__(self) -> None:
        self.classes: dict[str, list[tuple[str, str, str]]] = {}  # number, label, title
        self.contents: dict[str, bytes] = {}
        self.facts: dict[str, dict] = {}
        self.missing: set[str] = set()
        self.plan: dict[str, list] = defaultdict(list)
        self.asked: list[tuple[str, dict, dict]] = []
        self.lock = threading.Lock()

    def add(self, kind: str, count: int, start: int = 1) -> None:
        for number in range(start, start + count):
            title = f"Thing {number} ü.jpg"
            self.classes.setdefault(kind, []).append((f"Q{number}", f"thing {number}", title))
            self.contents[title] = picture()

    def paths(self) -> Counter:
        return Counter(path for path, _, _ in self.asked)

    def sparql(self, query: str) -> dict:
        kind = re.search(r"wd:(Q\d+)", query)[1]
        limit, offset = (int(re.search(rf"{word} (\d+)", query)[1]) for word in ("LIMIT", "OFFSET"))
        rows = [
            {
                "item": {"type": "uri", "value": ENTITY + number},
                "itemLabel": {"type": "literal", "xml:lang": "en", "value": label},
                "image": {"type": "uri", "value": FILE_PATH + quote(title)},
            }
            for number, label, title in self.classes.get(kind, [])
        ]
        return {
            "head": {"vars": ["item", "itemLabel", "image"]},
            "results": {"bindings": rows[offset : offset + limit]},
        }

    def api(self, question: dict, home: str) -> dict:
        pages = []
        for name in question["titles"].split("|"):
            title = name.removeprefix("File:")
            if title in self.missing:
                pages.append({"title": name, "missing": True})
                continue
            facts = {"LicenseShortName": "CC BY 4.0", "Artist": '<a href="//x">Ann</a> B.', "Credit": "<p>own work</p>"}
            extra = {key: {"value": value} for key, value in (facts | self.facts.get(title, {})).items() if value}
            info = {
                "thumburl": f"{home}/thumb/{quote(title)}",
                "mime": "image/jpeg",
                "descriptionurl": f"https://commons.wikimedia.org/wiki/{quote(name)}",
                "extmetadata": extra,
            }
            pages.append({"title": name, "imageinfo": [info]})
        return {"batchcomplete": True, "query": {"pages": pages}}


class Handler(local_server.Handler):
    def __init__(self, wikimedia: Wikimedia, *arguments):
        self.wikimedia = wikimedia
        super().__init__(*arguments)

    def do_GET(self):
        address = urlsplit(self.path)
        question = {key: values[0] for key, values in parse_qs(address.query).items()}
        path, name = "/" + address.path.split("/")[1], unquote(address.path.rpartition("/")[2])
        with self.wikimedia.lock:
            self.wikimedia.asked.append((path, question, dict(self.headers)))
            planned = self.wikimedia.plan[name] or self.wikimedia.plan[path]
            step = planned.pop(0) if planned else None
        if callable(step):
            return step(self)
        if step is not None:
            return self.give(*step)
        if path == "/sparql":
            return self.give(200, json.dumps(self.wikimedia.sparql(question["query"])))
        if path == "/api":
            home = f"http://{self.headers['Host']}"
            return self.give(200, json.dumps(self.wikimedia.api(question, home)))
        return self.give(200, self.wikimedia.contents[name])

    def give(self, status: int, content: str | bytes, headers: dict | None = None, length: int | None = None) -> None:
        content = content.encode() if isinstance(content, str) else content
        self.reply(status, {"Content-Length": len(content) if length is None else length, **(headers or {})}, content)


@pytest.fixture
def server():
    wikimedia = Wikimedia()
    with local_server.serving(functools.partial(Handler, wikimedia)) as address:
        wikimedia.home = address.rstrip("/")
        yield wikimedia


def client(server: Wikimedia, **options) -> Wikidata:
    usual = {"pause": 0.001, "picture_pause": 0.001, "retries": 2, "timeout": 5}
    return Wikidata(f"{server.home}/sparql", f"{server.home}/api", **(usual | options))


def collect(server: Wikimedia, folder, kinds=("Q146",), **options) -> wikidata.Collected:
    return client(server).collect(kinds, folder, **({"bar": False, "per_class": 10} | options))


# What goes into a query


@pytest.mark.parametrize(
    "kind", ["", "cat", "146", "Q0", "Q01", "q146", "Q146 }", "Q146\n", "Q1; DROP", "Q" + "9" * 20, None]
)
def test_only_numbers_go_into_a_query(server, tmp_path, kind):
    with pytest.raises(ValueError, match="no number of Wikidata"):
        list(client(server).items(kind, 1))
    with pytest.raises(ValueError, match="no number of Wikidata"):
        client(server).collect(["Q146", kind], tmp_path)
    assert not server.asked


@given(st.text())
def test_whatever_is_typed_is_a_number_or_refused(text):
    try:
        wikidata.check_number(text)
    except ValueError:
        return
    assert text[0] == "Q"
    assert text[1:].isascii()
    assert text[1:].isdecimal()


def test_other_bad_requests_are_refused(server, tmp_path):
    with pytest.raises(ValueError, match="no code of a language"):
        client(server, language='en". }')
    with pytest.raises(ValueError, match="at least 1 item"):
        next(client(server).items("Q146", 0))
    with pytest.raises(ValueError, match="at least 1 thread"):
        collect(server, tmp_path, threads=0)
    with pytest.raises(ValueError, match="not 300"):
        client(server).about(["A.jpg"], 300)


# Items


def test_items_come_page_by_page(server, monkeypatch):
    monkeypatch.setattr(wikidata, "PAGE", 10)
    server.add("Q146", 25)
    found = list(client(server).items("Q146", 100))
    assert found[0] == Item("Q1", "thing 1", "Thing 1 ü.jpg")
    assert [item.id for item in found] == [f"Q{number}" for number in range(1, 26)]
    queries = [question["query"] for _, question, _ in server.asked]
    assert [re.search(r"OFFSET (\d+)", query)[1] for query in queries] == ["0", "10", "20"]
    assert all("ORDER BY ?item" in query for query in queries)


def test_a_few_items_are_not_sorted(server):
    server.add("Q146", 25)
    assert len(list(client(server).items("Q146", 3))) == 3
    assert server.paths() == {"/sparql": 1}
    assert "ORDER BY" not in server.asked[0][1]["query"]


def test_an_item_with_many_pictures_counts_once(server, monkeypatch):
    monkeypatch.setattr(wikidata, "PAGE", 4)
    server.classes["Q146"] = [("Q1", "one", f"{number}.jpg") for number in range(6)] + [("Q2", "two", "x.jpg")]
    assert [item.id for item in client(server).items("Q146", 2)] == ["Q1", "Q2"]


def test_no_items(server, tmp_path):
    assert list(client(server).items("Q146", 5)) == []
    result = collect(server, tmp_path)
    assert len(result.pictures) == len(result.refused) == result.fetched == 0
    assert list(result.pictures.columns) == wikidata.COLUMNS


def test_who_we_are(server, monkeypatch):
    monkeypatch.setenv("COOKBOOK_CONTACT", "ann@example.org")
    list(client(server).items("Q146", 1))
    _, question, headers = server.asked[0]
    assert headers["User-Agent"].startswith("deep-learning-cookbook")
    assert headers["User-Agent"].endswith("ann@example.org")
    assert headers["Accept"] == "application/sparql-results+json"
    assert 'wikibase:language "en,mul"' in question["query"]


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        {"item": {"value": ENTITY + "Q1"}},
        {"item": {"value": ENTITY + "../x"}, "image": {"value": FILE_PATH + "A.jpg"}},
        {"item": {"value": ENTITY + "Q1"}, "image": {"value": "http://www.wikidata.org/.well-known/genid/0a"}},
        {"item": {"value": ENTITY + "Q1"}, "image": {"value": FILE_PATH + "A%7CB.jpg"}},
        {"item": {"value": ENTITY + "Q1"}, "image": {"value": FILE_PATH}},
        {"item": {"value": 7}, "image": {"value": FILE_PATH + "A.jpg"}},
        "row",
    ],
)
def test_odd_rows_are_left_out(row):
    assert wikidata._item(row) is None


# json.dumps of it is the answer of a server
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_row_breaks_the_parser(row):
    assert wikidata._item(row) is None
    assert wikidata._item({"item": row, "image": row}) is None


def test_title_is_decoded_and_label_may_lack():
    row = {"item": {"value": ENTITY + "Q7"}, "image": {"value": FILE_PATH + "A_b%20%C3%BC%3F.jpg"}}
    assert wikidata._item(row) == Item("Q7", "Q7", "A b ü?.jpg")


# The query service has its moods


@pytest.mark.parametrize("status", [429, 503])
def test_asked_to_wait_it_waits(server, status):
    server.add("Q146", 1)
    server.plan["/sparql"] = [(status, "slow down", {"Retry-After": "1"})]
    start = time.monotonic()
    assert len(list(client(server).items("Q146", 1))) == 1
    assert time.monotonic() - start >= 1


def test_broken_answers_are_asked_for_again(server):
    server.add("Q146", 1)
    cut = json.dumps(server.sparql("wd:Q146 LIMIT 9 OFFSET 0"))[:-9]
    server.plan["/sparql"] = [(200, cut), (500, "Oops")]
    assert len(list(client(server).items("Q146", 1))) == 1
    server.plan["/sparql"] = [lambda handler: handler.give(200, cut, length=10_000)]
    assert len(list(client(server).items("Q146", 1))) == 1


@pytest.mark.parametrize("answer", ["<html>", "[]", "null", '{"results": 3}', '{"results": {}}', '"text"'])
def test_answers_of_another_form_are_an_error(server, answer):
    server.plan["/sparql"] = [(200, answer)] * 3
    with pytest.raises(WikidataError, match="not the JSON"):
        list(client(server).items("Q146", 1))


def test_refused_and_dead(server):
    server.plan["/sparql"] = [(403, "no")]
    with pytest.raises(WikidataError, match="answers 403"):
        list(client(server).items("Q146", 1))
    server.plan["/sparql"] = [(502, "no")] * 3
    with pytest.raises(WikidataError, match="overloaded"):
        list(client(server).items("Q146", 1))
    with pytest.raises(WikidataError, match="could not be made"):
        list(Wikidata("http://127.0.0.1:9/sparql", retries=0).items("Q146", 1))


def test_slow_answers_are_given_up(server):
    server.plan["/sparql"] = [lambda handler: time.sleep(1)] * 3
    with pytest.raises(WikidataError, match="nothing came any more"):
        list(client(server, timeout=0.2, retries=0).items("Q146", 1))


@pytest.mark.parametrize("status", [200, 500])
def test_a_time_out_is_said_in_a_good_answer_too(server, status):
    server.add("Q146", 3)
    half = json.dumps(server.sparql("wd:Q146 LIMIT 9 OFFSET 0"))[:-80]
    server.plan["/sparql"] = [(status, half + TIME_OUT)]
    with pytest.raises(TooLongError, match="narrower class"):
        list(client(server).items("Q146", 3))
    assert server.paths() == {"/sparql": 1}, "a query that is too much is not asked again"


def test_a_class_that_takes_too_long_stops_no_other(server, tmp_path):
    server.add("Q144", 2)
    server.plan["/sparql"] = [(200, TIME_OUT)]
    result = collect(server, tmp_path, {"Q5": "human", "Q144": "dog"})
    assert set(result.pictures["kind_label"]) == {"dog"}
    assert result.refused["id"].tolist() == ["Q5"]
    assert "ran out of time" in result.refused["reason"][0]


# Commons


def test_maker_and_licence_are_kept(server, tmp_path):
    server.add("Q146", 1)
    server.facts["Thing 1 ü.jpg"] = {
        "Artist": 'Unknown author<span style="display: none;">Unknown author</span>',
        "LicenseUrl": "https://creativecommons.org/licenses/by/4.0",
    }
    result = collect(server, tmp_path, {"Q146": "cat"})
    (row,) = result.pictures.to_dict("records")
    assert row["artist"] == "Unknown author"
    assert row["credit"] == "own work"
    assert row["licence"] == "CC BY 4.0"
    assert row["licence_url"].startswith("https://creativecommons.org")
    assert (row["id"], row["label"], row["kind"], row["kind_label"]) == ("Q1", "thing 1", "Q146", "cat")
    assert (row["file"], row["width"], row["height"]) == ("Q1.jpg", 40, 30)
    assert "by Unknown author, CC BY 4.0, https://commons" in wikidata.credit(result.pictures.iloc[0])
    assert server.asked[1][1]["iiurlwidth"] == "330"


def test_files_that_cannot_be_had_are_listed(server, tmp_path):
    server.add("Q146", 5)
    server.missing.add("Thing 1 ü.jpg")
    server.facts["Thing 2 ü.jpg"] = {"LicenseShortName": ""}
    pages = server.api({"titles": "|".join(f"File:Thing {number} ü.jpg" for number in range(1, 6))}, server.home)
    pages["query"]["pages"][2]["imageinfo"][0] |= {"thumburl": "", "mime": "application/ogg"}
    pages["query"]["pages"][3]["imageinfo"] = []
    pages["query"]["pages"][4]["imageinfo"][0]["thumburl"] = "http://169.254.169.254/secret"
    server.plan["/api"] = [(200, json.dumps(pages))]
    result = collect(server, tmp_path)
    assert dict(zip(result.refused["id"], result.refused["reason"], strict=True)) == {
        "Q1": "Commons does not have it.",
        "Q2": "Its page names no licence.",
        "Q3": "Commons makes no thumbnail of it (application/ogg).",
        "Q4": "Commons says nothing about it.",
        "Q5": "Its address is not one of the service's.",
    }


def test_many_files_are_asked_for_in_a_few_questions(server):
    titles = [f"{number}.jpg" for number in range(45)]
    found = client(server).about(titles)
    assert list(found) == titles
    assert all(found[title].url.endswith(title) for title in titles)
    assert server.paths() == {"/api": 3}


def test_an_answer_that_goes_on(server):
    """What does not fit into an answer comes in a further one, with pages named again."""
    whole = server.api({"titles": "File:A.jpg|File:B.jpg"}, server.home)
    a, b = whole["query"]["pages"]
    bare = [{"title": page["title"]} for page in (a, b)]
    first = {"continue": {"iistart": "x", "continue": "||"}, "query": {"pages": [a, bare[1]]}}
    second = {"query": {"pages": [bare[0], b], "normalized": [{"from": "File:a.jpg", "to": "File:A.jpg"}]}}
    server.plan["/api"] = [(200, json.dumps(first)), (200, json.dumps(second))]
    found = client(server).about(["a.jpg", "B.jpg"])
    assert [found[title].artist for title in ("a.jpg", "B.jpg")] == ["Ann B.", "Ann B."]
    assert server.asked[1][1]["iistart"] == "x"


def test_commons_is_busy_then_not(server):
    server.plan["/api"] = [(200, '{"error": {"code": "maxlag", "info": "wait"}}'), (200, "<html>")]
    assert client(server).about(["A.jpg"])["A.jpg"].artist == "Ann B."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"error": {"code": "badvalue", "info": "no such prop"}}', "no such prop"),
        ("[]", "no object"),
        ("{", "not JSON"),
        ('{"batchcomplete": true}', "not of the form"),
        ('{"query": {"pages": [{}]}}', "not of the form"),
        ('{"query": {"pages": [{"title": "File:A.jpg", "imageinfo": [3]}]}}', "not of the form"),
    ],
)
def test_commons_says_something_else(server, answer, reason):
    server.plan["/api"] = [(200, answer)] * 3
    with pytest.raises(WikidataError, match=reason):
        client(server).about(["A.jpg"])


# Pictures


def test_pictures_of_any_kind_and_broken_ones(server, tmp_path):
    server.add("Q146", 9)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
    made = io.BytesIO()
    Image.fromarray(noise).save(made, "JPEG")
    for number, content in {
        1: picture(kind="PNG"),
        2: picture(kind="GIF"),
        3: made.getvalue()[:900],
        4: bomb(),
        5: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        6: b"<html>Too many requests</html>",
        7: b"",
    }.items():
        server.contents[f"Thing {number} ü.jpg"] = content
    server.plan["Thing 8 ü.jpg"] = [(404, "gone")]
    result = collect(server, tmp_path)
    assert sorted(result.pictures["file"]) == ["Q1.png", "Q2.gif", "Q9.jpg"]
    reasons = dict(zip(result.refused["id"], result.refused["reason"], strict=True))
    assert "cut short" in reasons["Q3"]
    assert "more than 50,000,000 pixels" in reasons["Q4"]
    assert "SVG" in reasons["Q5"]
    assert "no picture" in reasons["Q6"]
    assert "no picture" in reasons["Q7"]
    assert "gone" in reasons["Q8"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Q1.png", "Q2.gif", "Q9.jpg", gallery.INDEX]


def test_too_many_bytes_are_not_read(server, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_BYTES", 10_000)
    server.add("Q146", 1)
    server.contents["Thing 1 ü.jpg"] = bytes(10_000_000)
    result = collect(server, tmp_path)
    assert "more than 10,000 bytes" in result.refused["reason"][0]


def test_a_picture_that_drips_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "LONGEST", 0.3)

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(bytes(20_000))
            time.sleep(0.05)

    server.add("Q146", 1)
    server.plan["Thing 1 ü.jpg"] = [drip]
    assert "takes more than" in collect(server, tmp_path).refused["reason"][0]


def test_cut_on_the_way_is_tried_again(server, tmp_path):
    server.add("Q146", 2)
    content = server.contents["Thing 1 ü.jpg"]

    def cut(handler):
        handler.give(200, content[:100], length=len(content))

    server.plan["Thing 1 ü.jpg"] = [cut]
    server.plan["Thing 2 ü.jpg"] = [cut] * 3
    result = collect(server, tmp_path)
    assert result.pictures["id"].tolist() == ["Q1"]
    assert result.refused["reason"].tolist() == ["It is cut short on the way, each time."]


def test_a_picture_waits_when_it_is_told_to(server, tmp_path):
    server.add("Q146", 1)
    server.plan["Thing 1 ü.jpg"] = [(429, "wait", {"Retry-After": "1"})]
    start = time.monotonic()
    assert collect(server, tmp_path).fetched == 1
    assert time.monotonic() - start >= 1


def test_no_redirection_is_followed(server, tmp_path):
    server.add("Q146", 1)
    server.plan["Thing 1 ü.jpg"] = [(302, "", {"Location": "http://169.254.169.254/"})]
    assert "refused" in collect(server, tmp_path).refused["reason"][0]


def test_in_parallel_but_politely(server, tmp_path):
    server.add("Q146", 8)
    running, most = 0, 0

    def slow(name, handler):
        nonlocal running, most
        with server.lock:
            running += 1
            most = max(most, running)
        time.sleep(0.1)
        with server.lock:
            running -= 1
        handler.give(200, server.contents[name])

    for name in list(server.contents):
        server.plan[name] = [functools.partial(slow, name)]
    assert collect(server, tmp_path, threads=3).fetched == 8
    assert 2 <= most <= 3


def test_pauses_are_those_of_all_threads_together(server):
    wanted = [({"id": str(number)}, f"{server.home}/thumb/x") for number in range(6)]
    server.contents["x"] = picture()
    start = time.monotonic()
    found = list(gallery.fetch(wanted, allowed=lambda url: True, threads=2, pause=0.1))
    assert len(found) == 6
    assert time.monotonic() - start >= 0.4  # three a thread, 0.2 s between each two


# Interrupted


def test_it_goes_on_where_it_stopped(server, tmp_path):
    server.add("Q146", 6)
    first = collect(server, tmp_path, per_class=3)
    before = server.paths()["/thumb"]
    second = collect(server, tmp_path, per_class=6)
    assert (first.fetched, second.fetched) == (3, 3)
    assert server.paths()["/thumb"] == before + 3
    assert second.pictures["id"].tolist() == [f"Q{number}" for number in range(1, 7)]
    assert collect(server, tmp_path, per_class=6).fetched == 0


def test_what_is_half_written_is_mended(server, tmp_path):
    server.add("Q146", 4)
    collect(server, tmp_path)
    index = tmp_path / gallery.INDEX
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(lines[:3]) + b"not JSON\n" + lines[3][:30])
    (tmp_path / "Q1.jpg").unlink()
    assert wikidata.pictures(tmp_path)["id"].tolist() == ["Q2", "Q3"]
    result = collect(server, tmp_path)
    assert result.fetched == 2
    assert sorted(result.pictures["id"]) == ["Q1", "Q2", "Q3", "Q4"]
    assert all(json.loads(line) for line in index.read_text("utf8").splitlines())


def test_ctrl_c_keeps_what_is_there(server, tmp_path):
    server.add("Q146", 6)
    hang = threading.Event()
    server.plan["Thing 4 ü.jpg"] = [lambda handler: hang.wait(20)]
    threading.Timer(1.0, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        collect(server, tmp_path)
    assert time.monotonic() - start < 4
    hang.set()
    assert wikidata.pictures(tmp_path)["id"].tolist() == ["Q1", "Q2", "Q3"]
    assert not list(tmp_path.glob("*.part"))
    assert collect(server, tmp_path).fetched == 3


def test_a_server_that_dies_keeps_what_is_there(server, tmp_path):
    server.add("Q146", 2)
    server.add("Q144", 2, start=10)
    server.plan["/sparql"] = [(200, json.dumps(server.sparql("wd:Q146 LIMIT 40 OFFSET 0"))), *[(502, "")] * 3]
    with pytest.raises(WikidataError, match="overloaded"):
        collect(server, tmp_path, ["Q146", "Q144"])
    assert wikidata.pictures(tmp_path)["id"].tolist() == ["Q1", "Q2"]


def test_a_folder_without_a_collection(tmp_path):
    with pytest.raises(gallery.GalleryError, match="nothing was collected"):
        wikidata.pictures(tmp_path)
