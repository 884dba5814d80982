"""Recipe 9.4: the client of Flickr, against a local server with good, empty, slow, rate-limited and broken answers."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cookbook import paths, pictures
from cookbook.sources import flickr, gallery, replay
from cookbook.sources.flickr import Flickr, FlickrError

KEY = "0123456789abcdef" * 2
API = "/services/rest/"
LICENCES = [
    {"id": 0, "name": "All Rights Reserved", "url": ""},
    {"id": 2, "name": "Attribution-NonCommercial License", "url": "https://creativecommons.org/licenses/by-nc/2.0/"},
    {"id": 4, "name": "Attribution License", "url": "https://creativecommons.org/licenses/by/2.0/"},
    {"id": 7, "name": "No known copyright restrictions", "url": "https://www.flickr.com/commons/usage/"},
    {"id": 9, "name": "Public Domain Dedication (CC0)", "url": "https://creativecommons.org/publicdomain/zero/1.0/"},
    {"id": 10, "name": "Public Domain Mark", "url": "https://creativecommons.org/publicdomain/mark/1.0/"},
    {"id": 12, "name": "CC BY-SA 4.0", "url": "https://creativecommons.org/licenses/by-sa/4.0/deed.en"},
]


def picture(number: int = 0, kind: str = "JPEG", side: int = 20) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), number % 256, "uint8")).save(content, kind)
    return content.getvalue()


class Service:
    """Flickr's API and pictures, with photos 1 to `photos`; `say` puts words into its mouth, by path or method."""

    def __init__(self, photos: int = 7, a_page: int = 3):
        self.photos, self.a_page = photos, a_page
        self.said: dict[str, list] = {}
        self.asked: list[tuple[str, dict]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def say(self, what: str, *answers: tuple | bytes | dict) -> None:
        """Answer so the next times; an answer is (status, headers, content), or its content."""
        self.said[what] = list(answers)

    def entry(self, number: int, **more: object) -> dict:
        return {
            "id": str(number),
            "owner": "42@N00",
            "title": f"Photo {number}",
            "license": "4",
            "ownername": "Ines",
            "url_q": f"{self.home}/{number}_q.jpg",
        } | more

    def page(self, number: int, entries: list[dict] | None = None, pages: int | None = None) -> dict:
        if entries is None:
            ids = range(1, self.photos + 1)[(number - 1) * self.a_page : number * self.a_page]
            entries = [self.entry(each) for each in ids]
        pages = -(-self.photos // self.a_page) if pages is None else pages
        return {"photos": {"page": number, "pages": pages, "total": str(self.photos), "photo": entries}, "stat": "ok"}

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        with self.lock:
            self.asked.append((path, query))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            what = query.get("method", path)
            answers = self.said.get(what)
            answer = answers.pop(0) if answers else self.usual(path, query)
            answer = answer() if callable(answer) else answer
            answer = json.dumps(answer).encode() if isinstance(answer, dict) else answer
            return (200, {}, answer) if isinstance(answer, bytes) else answer
        finally:
            with self.lock:
                self.at_once -= 1

    def usual(self, path: str, query: dict[str, str]) -> bytes | dict:
        if path != API:
            return picture(int(path.strip("/").split("_")[0]))
        if query["method"] == "flickr.photos.licenses.getInfo":
            return {"licenses": {"license": LICENCES}, "stat": "ok"}
        return self.page(int(query["page"]))

    def fetched(self) -> list[str]:
        return [path for path, _ in self.asked if path != API]


@contextmanager
def running(service: Service):
    with replay.answered(service) as service.home:
        yield service


@pytest.fixture
def service():
    with running(Service()) as made:
        yield made


@pytest.fixture
def client(service) -> Flickr:
    return visitor(service)


def visitor(service: Service, **options: object) -> Flickr:
    options = {"pause": 0.01, "picture_pause": 0.001, "retries": 2, "timeout": 2} | options
    return Flickr(KEY, home=service.home + API, **options)


SEARCH = "flickr.photos.search"


def fails(code: int, message: str) -> dict:
    return {"stat": "fail", "code": code, "message": message}


# The key


def test_no_key_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv("FLICKR_KEY", raising=False)
    with pytest.raises(FlickrError, match=r"flickr\.com/services/apps/create.*FLICKR_KEY"):
        Flickr()


def test_the_key_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("FLICKR_KEY", f" {KEY}\n")
    assert Flickr().key == KEY


@pytest.mark.parametrize("key", ["short", KEY + "0", KEY.upper() + "\n", "ü" * 32])
def test_what_cannot_be_a_key_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("FLICKR_KEY", key)
    with pytest.raises(FlickrError, match="FLICKR_KEY holds no key") as caught:
        Flickr()
    assert key not in str(caught.value)


def test_a_wrong_key_is_said_at_once(service, client):
    service.say(SEARCH, fails(100, "Invalid API Key (Key not found)"))
    with pytest.raises(FlickrError, match=r"does not know the key .*FLICKR_KEY"):
        list(client.search("cat"))
    assert len(service.asked) == 2


def test_no_failure_shows_the_key(service, client):
    service.say(SEARCH, fails(1, f"strange: {KEY}"))
    with pytest.raises(FlickrError) as caught:
        list(client.search("cat"))
    assert KEY not in str(caught.value)
    with pytest.raises(FlickrError) as caught:
        Flickr(KEY, home="http://127.0.0.1:1/", retries=0).search("cat")
    assert KEY not in "".join(traceback.format_exception(caught.value))


# Searching


def test_search_goes_through_all_pages(service, client):
    found = list(client.search("cat"))
    assert [photo.id for photo in found] == list("1234567")
    photo = found[0]
    assert (photo.title, photo.owner, photo.licence) == ("Photo 1", "Ines", "CC BY 2.0")
    assert photo.page == "https://www.flickr.com/photos/42@N00/1"
    assert flickr.credit(photo) == "“Photo 1” by Ines, CC BY 2.0, https://www.flickr.com/photos/42@N00/1"
    asked = [query for _, query in service.asked if query["method"] == SEARCH]
    assert [query["page"] for query in asked] == ["1", "2", "3"]
    expected = {"format": "json", "nojsoncallback": "1", "per_page": "500", "api_key": KEY, "text": "cat"}
    assert expected.items() <= asked[0].items()


def test_licences_have_the_names_that_people_know(client):
    names = [name for name, _ in client.licences.values()]
    assert names[1:] == [
        "CC BY-NC 2.0",
        "CC BY 2.0",
        "No known copyright restrictions",
        "CC0 1.0",
        "Public Domain Mark 1.0",
        "CC BY-SA 4.0",
    ]


def test_the_licence_filter_goes_to_flickr_and_is_checked_again(service, client):
    service.say(SEARCH, service.page(1, [service.entry(1, license="0"), service.entry(2, license=9)], pages=1))
    assert [photo.licence for photo in client.search("cat")] == ["CC0 1.0"]
    assert set(service.asked[-1][1]["license"].split(",")) == {"4", "9", "10", "12"}
    list(client.search("cat", licences=["CC BY-NC 2.0"]))
    assert service.asked[-1][1]["license"] == "2"


def test_an_unknown_licence_is_a_clear_error(client):
    with pytest.raises(ValueError, match=r"no such licence: CC BY 9\.0\. It has: All Rights Reserved, CC BY"):
        client.search("cat", licences=["CC BY 9.0", "CC BY 2.0"])
    with pytest.raises(ValueError, match="no such licence: none"):
        client.search("cat", licences=[])


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_to_search_for(client, text):
    with pytest.raises(ValueError, match="what to search for"):
        client.search(text)


@pytest.mark.parametrize("sizes", [(), ("q", "huge")])
def test_unknown_sizes(client, sizes):
    with pytest.raises(ValueError, match="Sizes are q, t, s"):
        client.search("cat", sizes=sizes)


def test_the_first_size_that_there_is(service, client):
    both, small = service.entry(1, url_z=f"{service.home}/1_z.jpg"), service.entry(2)
    service.say(SEARCH, service.page(1, [both, small, service.entry(3, url_q=None)], pages=1))
    found = list(client.search("cat", sizes=("z", "q")))
    assert [photo.url.rpartition("/")[2] for photo in found] == ["1_z.jpg", "2_q.jpg", ""]
    assert service.asked[-1][1]["extras"] == "license,owner_name,url_z,url_q"


def test_nothing_found(service, client, tmp_path):
    service.say(SEARCH, service.page(1, [], pages=0))
    assert list(client.search("cat")) == []
    service.say(SEARCH, service.page(1, [], pages=0))
    collected = client.collect("cat", tmp_path, bar=False)
    assert (len(collected.photos), collected.fetched, len(collected.refused)) == (0, 0, 0)
    assert list(collected.photos.columns) == flickr.COLUMNS


def test_a_repeated_page_ends_the_search(service, client):
    """After 4,000 photos Flickr gives the same page again and again, and promises more."""
    pages = [service.page(number, pages=99) for number in (1, 2, 2, 2)]
    service.say(SEARCH, *pages)
    assert [photo.id for photo in client.search("cat")] == list("123456")
    assert sum(query["method"] == SEARCH for _, query in service.asked) == 3


def test_photos_that_come_twice_are_given_once(service, client):
    """New photos move the others on, so that the end of one page is the beginning of the next."""
    service.say(SEARCH, *(service.page(1, [service.entry(n) for n in ids], 2) for ids in ([1, 2, 3, 3], [3, 4])))
    assert [photo.id for photo in client.search("cat")] == list("1234")


def test_an_empty_page_ends_the_search(service, client):
    service.say(SEARCH, service.page(1, pages=9), service.page(2, [], pages=9))
    assert len(list(client.search("cat"))) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../../etc/passwd"},
        {"id": "1.5"},
        {"id": None},
        {"owner": "a/../b"},
        {"owner": ""},
        {"license": "99"},
        {"license": None},
    ],
)
def test_what_could_not_be_credited_is_left_out(service, client, wrong):
    service.say(SEARCH, service.page(1, [service.entry(1, **wrong), service.entry(2)], pages=1))
    assert [photo.id for photo in client.search("cat")] == ["2"]


@given(
    st.dictionaries(
        st.sampled_from(["id", "owner", "title", "license", "ownername", "url_q", "url_z"]),
        st.none() | st.integers() | st.text() | st.sampled_from(["1", "4", "42@N00", "http://[", "https://a.b/1.jpg"]),
    )
)
def test_any_entry_is_a_photo_or_none(entry):
    photo = flickr._photo(entry, {"4": ("CC BY 2.0", "")}, ("q", "z"))
    if photo:
        assert photo.id.isdigit()
        assert photo.owner
        assert photo.page.startswith("https://www.flickr.com/photos/")
        assert Flickr(KEY)._allowed(photo.url) in (False, True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://live.staticflickr.com/65535/1_q.jpg", True),
        ("http://live.staticflickr.com/1_q.jpg", False),
        ("https://staticflickr.com.example.org/1.jpg", False),
        ("https://evil.org/.staticflickr.com", False),
        ("https://notstaticflickr.com/1.jpg", False),
        ("http://169.254.169.254/1.jpg", False),
        ("file:///etc/passwd", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_pictures_come_from_flickr_alone(url, expected):
    assert Flickr(KEY)._allowed(url) is expected


# Answers that are not good


@pytest.mark.parametrize("code", [0, 10, 105])
def test_failures_that_pass_are_tried_again(service, client, code):
    service.say(SEARCH, fails(code, "Service currently unavailable"), service.page(1, pages=1))
    assert len(list(client.search("cat"))) == 3


def test_failures_that_stay(service, client):
    service.say(SEARCH, *[fails(105, "Service currently unavailable")] * 9)
    with pytest.raises(FlickrError, match=r"no good answer to flickr.photos.search: Service currently unavailable"):
        list(client.search("cat"))
    assert sum(query["method"] == SEARCH for _, query in service.asked) == 3


def test_other_failures_are_not_tried_again(service, client):
    service.say(SEARCH, fails(3, "Parameterless searches have been disabled"))
    with pytest.raises(FlickrError, match="Parameterless"):
        list(client.search("cat"))
    assert len(service.asked) == 2


@pytest.mark.parametrize("content", [b"", b"<html>down</html>", b"jsonFlickrApi({})", b"[1, 2]", b"[" * 9999, b"\xff"])
def test_answers_that_are_no_json(service, client, content):
    service.say(SEARCH, *[content] * 9)
    with pytest.raises(FlickrError, match="not the JSON that was asked for"):
        list(client.search("cat"))


@pytest.mark.parametrize("photos", [None, [], {"photo": 1, "pages": 1}, {"photo": []}, {"photo": ["x"], "pages": 1}])
def test_answers_of_another_form(service, client, photos):
    service.say(SEARCH, {"photos": photos, "stat": "ok"})
    with pytest.raises(FlickrError, match="Page 1 of the search is not of the form"):
        list(client.search("cat"))


def test_licences_of_another_form(service, client):
    service.say("flickr.photos.licenses.getInfo", {"licenses": [], "stat": "ok"})
    with pytest.raises(FlickrError, match="list of licences"):
        client.search("cat")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_api_is_asked_again(service, client, status):
    service.say(SEARCH, (status, {}, b""), (status, {}, b""), service.page(1, pages=1))
    assert len(list(client.search("cat"))) == 3


def test_an_overloaded_api_that_stays_so(service, client):
    service.say(SEARCH, *[(503, {}, b"")] * 9)
    with pytest.raises(FlickrError, match="overloaded"):
        list(client.search("cat"))


def test_a_refusing_api(service, client):
    service.say(SEARCH, (403, {}, b""))
    with pytest.raises(FlickrError, match="the server answers 403"):
        list(client.search("cat"))


def test_retry_after_is_kept(service, client):
    service.say(SEARCH, (429, {"Retry-After": "1"}, b""), service.page(1, pages=1))
    start = time.monotonic()
    assert len(list(client.search("cat"))) == 3
    assert time.monotonic() - start > 0.9


def test_a_silent_api(service):
    service.say(SEARCH, *[lambda: time.sleep(1) or b""] * 2)
    with pytest.raises(FlickrError, match="nothing came any more"):
        list(visitor(service, timeout=0.2, retries=0).search("cat"))


def test_nobody_allowed():
    with pytest.raises(FlickrError, match="could not be made"):
        list(Flickr(KEY, home="http://127.0.0.1:1/", pause=0, retries=0).search("cat"))


def test_the_api_is_not_asked_too_often(service):
    start = time.monotonic()
    assert len(list(visitor(service, pause=0.2).search("cat"))) == 7
    assert time.monotonic() - start >= 3 * 0.2


# Collecting


def lines(folder: Path) -> list[dict]:
    """pictures.ndjson; every line must be whole, and its picture too."""
    content = (folder / gallery.INDEX).read_text("utf8")
    assert content == "" or content.endswith("\n")
    entries = [json.loads(line) for line in content.splitlines()]
    for entry in entries:
        assert pictures.load(folder / entry["file"]).shape == (entry["height"], entry["width"], 3)
    assert len({entry["id"] for entry in entries}) == len(entries)
    return entries


def test_collect_keeps_pictures_and_their_credits(service, client, tmp_path):
    collected = client.collect("cat", tmp_path / "new" / "cat", bar=False)
    assert (collected.fetched, len(collected.refused)) == (7, 0)
    entries = lines(tmp_path / "new" / "cat")
    assert [entry["id"] for entry in entries] == list("1234567")
    assert entries[0] == {
        "id": "1",
        "file": "1.jpg",
        "width": 20,
        "height": 20,
        "title": "Photo 1",
        "owner": "Ines",
        "licence": "CC BY 2.0",
        "licence_url": "https://creativecommons.org/licenses/by/2.0/",
        "page": "https://www.flickr.com/photos/42@N00/1",
        "url": f"{service.home}/1_q.jpg",
    }
    assert collected.photos.to_dict("records") == entries
    assert flickr.credit(collected.photos.iloc[0]).startswith("“Photo 1” by Ines, CC BY 2.0, https://www.flickr.com/")
    assert sorted(path.name for path in (tmp_path / "new" / "cat").iterdir()) == [
        *(f"{number}.jpg" for number in range(1, 8)),
        "pictures.ndjson",
    ]


def test_titles_in_any_script_survive(service, client, tmp_path):
    title = 'Katze „Mimi“ 猫\u2028 \n\t "x"'
    service.say(SEARCH, service.page(1, [service.entry(1, title=title, ownername="Zoë")], pages=1))
    client.collect("cat", tmp_path, bar=False)
    (entry,) = lines(tmp_path)
    assert (entry["title"], entry["owner"]) == ('Katze „Mimi“ 猫 "x"', "Zoë")


def test_what_is_there_is_not_fetched_again(service, client, tmp_path):
    client.collect("cat", tmp_path, count=4, bar=False)
    assert len(service.fetched()) == 4
    again = client.collect("cat", tmp_path, bar=False)
    assert (again.fetched, len(again.photos)) == (3, 7)
    assert len(service.fetched()) == 7
    assert Counter(service.fetched()).most_common(1)[0][1] == 1


def test_a_picture_that_was_deleted_here_is_fetched_again(service, client, tmp_path):
    client.collect("cat", tmp_path, bar=False)
    (tmp_path / "3.jpg").unlink()
    assert client.collect("cat", tmp_path, bar=False).fetched == 1
    assert len(lines(tmp_path)) == 7


@pytest.mark.parametrize("broken", [b'{"id": "9", "fi', b"rubbish\n", b"[]\n", b"\xff\n", b'{"id": "9"}\n'])
def test_a_broken_line_is_mended(service, client, tmp_path, broken):
    client.collect("cat", tmp_path, count=3, bar=False)
    with open(tmp_path / gallery.INDEX, "ab") as file:
        file.write(broken)
    assert len(flickr.photos(tmp_path)) == 3
    assert len(client.collect("cat", tmp_path, bar=False).photos) == len(lines(tmp_path)) == 7


def test_photos_of_an_empty_folder(tmp_path):
    with pytest.raises(gallery.GalleryError, match="nothing was collected there"):
        flickr.photos(tmp_path)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"threads": 0}])
def test_nothing_to_collect(client, tmp_path, wrong):
    with pytest.raises(ValueError, match="at least 1 photo and 1 thread"):
        client.collect("cat", tmp_path, **wrong)


def bomb() -> bytes:
    """A small PNG that says it has 20,000 x 20,000 pixels."""
    small = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(small, "PNG")
    return small.getvalue()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {}, b""), "is gone"),
        ((302, {"Location": "/unavailable.png"}, b""), "302"),
        ((403, {}, b""), "is refused"),
        (b"", "no picture"),
        (b"<html>sorry</html>", "no picture"),
        (picture()[:300], "cut short"),
        (picture(side=300, kind="PNG")[:-40], "cut short"),
        (bomb(), "more than 50,000,000 pixels"),
        ((200, {"Content-Length": "9999", "Connection": "close"}, picture()), "cut short on the way"),
        ((200, {"Content-Length": "9999"}, picture()), "nothing came any more"),
        ((429, {}, b""), "overloaded"),
        ((503, {}, b""), "overloaded"),
    ],
)
def test_pictures_that_cannot_be_had_are_listed(service, tmp_path, answer, reason):
    client = visitor(service, timeout=0.5)
    service.say("/2_q.jpg", *[answer] * 9)
    collected = client.collect("cat", tmp_path, bar=False)
    assert collected.refused["id"].tolist() == ["2"]
    assert collected.refused["page"].tolist() == ["https://www.flickr.com/photos/42@N00/2"]
    assert collected.refused["reason"].str.contains(reason).all(), collected.refused["reason"][0]
    assert [entry["id"] for entry in lines(tmp_path)] == list("134567")
    assert not list(tmp_path.glob("2*"))
    assert not list(tmp_path.glob("*.part"))
    service.said.clear()
    assert client.collect("cat", tmp_path, bar=False).fetched == 1  # once it is mended, it is taken


def test_a_picture_of_too_many_bytes(service, client, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_BYTES", 1 << 16)
    service.say("/2_q.jpg", bytes(1 << 24))
    collected = client.collect("cat", tmp_path, bar=False)
    assert collected.refused["reason"].tolist() == ["It has more than 65,536 bytes, which is the limit."]
    assert len(lines(tmp_path)) == 6


def test_a_picture_that_never_ends(service, client, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "LONGEST", 0.0)
    collected = client.collect("cat", tmp_path, count=1, bar=False)
    assert "seconds" in collected.refused["reason"][0]


def test_a_picture_in_no_size_or_from_elsewhere(service, client, tmp_path):
    entries = [service.entry(1, url_q=None), service.entry(2, url_q="https://example.org/2.jpg"), service.entry(3)]
    service.say(SEARCH, service.page(1, entries, pages=1))
    collected = client.collect("cat", tmp_path, bar=False)
    assert collected.refused["reason"].tolist() == [
        "It does not come in this size.",
        "Its address is not one of the service's.",
    ]
    assert service.fetched() == ["/3_q.jpg"]


def test_a_picture_cut_on_the_way_is_asked_for_again(service, client, tmp_path):
    service.say("/2_q.jpg", (200, {"Content-Length": "9999", "Connection": "close"}, picture()))
    assert client.collect("cat", tmp_path, bar=False).fetched == 7


def test_rate_limited_pictures_are_waited_for(service, client, tmp_path):
    service.say("/2_q.jpg", (429, {"Retry-After": "1"}, b""))
    start = time.monotonic()
    collected = client.collect("cat", tmp_path, bar=False)
    assert (collected.fetched, len(collected.refused)) == (7, 0)
    assert time.monotonic() - start > 0.9
    assert [entry["id"] for entry in lines(tmp_path)] == list("1234567")


def test_a_few_at_once_and_no_more(tmp_path):
    with running(Service(photos=40, a_page=40)) as service:
        slow = service.usual

        def usual(path, query):
            if path != API:
                time.sleep(0.02)
            return slow(path, query)

        service.usual = usual
        assert visitor(service).collect("cat", tmp_path, threads=3, bar=False).fetched == 40
        assert 2 <= service.most_at_once <= 3


def test_pictures_keep_their_pause(service, tmp_path):
    start = time.monotonic()
    visitor(service, picture_pause=0.1).collect("cat", tmp_path, threads=2, bar=False)
    assert time.monotonic() - start >= 0.5  # seven pictures by two threads that each wait 0.2 s


def test_no_more_is_searched_than_wanted(service, client, tmp_path):
    client.collect("cat", tmp_path, count=3, bar=False)
    assert sum(query.get("method") == SEARCH for _, query in service.asked) == 1


def test_a_search_that_fails_later_keeps_what_came(service, client, tmp_path):
    service.say(SEARCH, service.page(1), fails(1, "no more"))
    with pytest.raises(FlickrError, match="no more"):
        client.collect("cat", tmp_path, threads=1, bar=False)
    kept = lines(tmp_path)
    assert client.collect("cat", tmp_path, bar=False).fetched == 7 - len(kept)
    assert len(lines(tmp_path)) == 7


SCRIPT = """
import sys
sys.path.insert(0, "notebooks")
from pathlib import Path
from cookbook.sources.flickr import Flickr
client = Flickr("0" * 32, home=sys.argv[1], pause=0, picture_pause=0)
client.collect("cat", Path(sys.argv[2]), threads=2, bar=False)
"""


def test_ctrl_c_loses_nothing(tmp_path):
    with running(Service(photos=200, a_page=200)) as service:
        service.say("/60_q.jpg", lambda: time.sleep(30) or b"")  # here it hangs
        command = [sys.executable, "-c", SCRIPT, service.home + API, str(tmp_path)]
        process = subprocess.Popen(command, cwd=paths.ROOT, stderr=subprocess.PIPE, env=dict(os.environ))
        until = time.monotonic() + 30
        while "/60_q.jpg" not in service.fetched() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        assert time.monotonic() - start < 10, "it waits for no picture"
        assert b"KeyboardInterrupt" in stderr
        kept = lines(tmp_path)
        assert len(kept) >= 50
        assert not list(tmp_path.glob("*.part"))
        service.said.clear()
        assert visitor(service).collect("cat", tmp_path, bar=False).fetched == 200 - len(kept)
        assert len(lines(tmp_path)) == 200


def test_the_bar_counts_photos(service, client, tmp_path, capsys):
    client.collect("cat", tmp_path)
    assert "cat" in capsys.readouterr().err or os.environ.get("TQDM_DISABLE")
