"""Live posts: the one emoji of a text, what is left of a person, and streams that drop, stall, flood and refuse."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import emoji
import local_server
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.http11 import Response
from websockets.sync.client import connect
from websockets.sync.server import serve

from cookbook import data, paths
from cookbook.sources import posts, replay
from cookbook.sources.posts import Beat, Collected, Cursor, Post, PostsError, bluesky_post, one_emoji, x_post

START = 1_767_225_600_000_000
FULLY_QUALIFIED = [e for e, about in emoji.EMOJI_DATA.items() if about["status"] == emoji.STATUS["fully_qualified"]]
ZWJ, VS15, VS16, KEYCAP = "\u200d", "\ufe0e", "\ufe0f", "\u20e3"


def event(number: int = 0, text: object = "", *, record: dict | None = None, **more: object) -> str:
    """A new post as Jetstream sends it, a second after the one before."""
    text = text or f"post number {number} 🎉"
    about = {"$type": "app.bsky.feed.post", "text": text, "langs": ["en"]} | (record or {})
    commit = {"operation": "create", "collection": "app.bsky.feed.post", "rkey": "invented", "record": about}
    who = {"did": f"did:plc:invented{number:016}", "time_us": START + number * 1_000_000, "kind": "commit"}
    return json.dumps(who | {"commit": commit} | more)


def kept(file: Path) -> list[dict]:
    """What a file holds; every line must be whole."""
    content = file.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def texts(file: Path) -> list[str]:
    return [each["text"] for each in kept(file)]


def bluesky(file: Path, home: str, **options: object) -> Collected:
    return posts.bluesky(file, home=home, **({"bar": False, "pause": 0.01, "seconds": 20} | options))


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "posts.ndjson"


# The one emoji


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("we won 🎉", ("🎉", "we won")),
        ("🎉we won", ("🎉", "we won")),
        ("we🎉won", ("🎉", "we won")),
        ("two\n\n lines\t🎉 ", ("🎉", "two lines")),
        ("🎉", ("🎉", "")),
        ("", None),
        ("nothing", None),
        ("🎉🎉", None),
        ("🎉 and 🔥", None),
        ("skin 👍🏽", ("👍🏽", "skin")),
        (f"skin ☝{VS16}🏽", ("☝🏽", "skin")),
        ("joined 👩🏽‍🚀", ("👩🏽‍🚀", "joined")),
        ("family 👨‍👩‍👧‍👦", ("👨‍👩‍👧‍👦", "family")),
        (f"unqualified 🏳{ZWJ}🌈", (f"🏳{VS16}{ZWJ}🌈", "unqualified")),
        (f"unqualified 👁{ZWJ}🗨", (f"👁{VS16}{ZWJ}🗨{VS16}", "unqualified")),
        (f"too much 🎉{VS16}", ("🎉", "too much")),
        ("flag 🇪🇺", ("🇪🇺", "flag")),
        ("flags 🇩🇰🇫🇷", None),
        ("half 🇪", None),
        ("half and whole 🇪 🎉", None),
        ("no land 🇽🇽", None),
        ("tags 🏴󠁧󠁢󠁷󠁬󠁳󠁿", ("🏴󠁧󠁢󠁷󠁬󠁳󠁿", "tags")),
        (f"keycap 1{VS16}{KEYCAP}", (f"1{VS16}{KEYCAP}", "keycap")),
        (f"keycap #{KEYCAP}", (f"#{VS16}{KEYCAP}", "keycap")),
        ("12 apples *#", None),
        ("12 apples 🍎", ("🍎", "12 apples")),
        (f"1{VS16} apple", None),
        ("© ® ™ 1998", None),
        ("© 1998 🎉", ("🎉", "© 1998")),
        (f"©{VS16} 1998", (f"©{VS16}", "1998")),
        ("I ❤ it", None),
        (f"I ❤{VS16} it", (f"❤{VS16}", "I it")),
        (f"as text 🎉{VS15}", None),
        ("a swatch 🏽", None),
        ("a🏽", None),
        (f"not joined 👩🏽{ZWJ}🐈", None),
        (f"hanging 🎉{ZWJ}", None),
        ("¯\\_(ツ)_/¯ :-)", None),
    ],
)
def test_one_emoji(text, expected):
    assert one_emoji(text) == expected


def test_every_emoji_is_recognised():
    assert len(posts.FULL) == len(FULLY_QUALIFIED) > 3900
    for each in FULLY_QUALIFIED:
        assert one_emoji(each) == (each, "")
        assert one_emoji(f"a{each}b") == (each, "a b")
        assert one_emoji(each + each) is None


def test_other_spellings_are_the_same_emoji():
    """Of a sequence; a single character without U+FE0F is text."""
    for each, about in emoji.EMOJI_DATA.items():
        if about["status"] in (emoji.STATUS["minimally_qualified"], emoji.STATUS["unqualified"]):
            found = one_emoji(each)
            if len(each) > 1:
                assert found[0] in FULLY_QUALIFIED
                assert found[0].replace(VS16, "") == each.replace(VS16, "")
            else:
                assert found is None


PIECES = st.one_of(
    st.sampled_from(FULLY_QUALIFIED),
    st.sampled_from([ZWJ, VS15, VS16, KEYCAP, "🏽", "🇪", "🇺", "❤", "©", "1", "#", " ", "\n", "a", "é", "\u0301", "ツ"]),
    st.characters(),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_any_text_has_one_emoji_or_not(text):
    found = one_emoji(text)
    if found:
        sign, rest = found
        assert sign in FULLY_QUALIFIED
        assert posts._emoji(rest) == "no emoji"
        assert rest == " ".join(rest.split())
        assert one_emoji(f"{rest} {sign}") == found
        assert one_emoji(f"{text} 🎉") is None


@settings(max_examples=200, deadline=None)
@given(st.text(), st.sampled_from(FULLY_QUALIFIED), st.text())
def test_an_emoji_is_found_in_any_text_without(before, sign, after):
    if posts._emoji(before) == posts._emoji(after) == "no emoji":
        assert one_emoji(f"{before} {sign} {after}") == (sign, " ".join(f"{before} {after}".split()))


# What is left of a person


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("thanks @nobody.invented.example!", "thanks @user!"),
        ("@nobody: hi", "@user: hi"),
        ("＠nobody hi", "@user hi"),
        ("on @nobody@invented.example now", "on @user now"),
        ("mail some.one+news@invented.example now", "mail @user now"),
        ("nobody.bsky.social said", "@user said"),
        ("see https://invented.example/@nobody?x=1#y now", "see URL now"),
        ("see www.invented.example now", "see URL now"),
        ("see invented.example/nobody now", "see URL now"),
        ("at://did:plc:invented/app.bsky.feed.post/1", "URL"),
        ("I am did:plc:invented", "I am URL"),
        ("at 5 @ the pub, 3/4 done, e.g. now", "at 5 @ the pub, 3/4 done, e.g. now"),
        ("#hashtag stays", "#hashtag stays"),
    ],
)
def test_people_and_links_become_marks(text, left):
    assert posts.without_people(text) == left
    assert posts.without_people(left) == left


def facet(start: object, end: object, kind: str) -> dict:
    index = {"byteStart": start, "byteEnd": end}
    return {"index": index, "features": [{"$type": f"app.bsky.richtext.facet#{kind}", "did": "did:plc:invented"}]}


@pytest.mark.parametrize(
    ("facets", "text"),
    [
        ([facet(3, 12, "mention")], "ü @user sells Otto on shop.test 🎉"),
        ([facet(3, 12, "mention"), facet(27, 36, "link")], "ü @user sells Otto on URL 🎉"),
        ([facet(27, 36, "link"), facet(3, 12, "mention"), facet(0, 99, "link")], "ü @user sells Otto on URL 🎉"),
        ([facet(3, 12, "tag")], "ü Ann Other sells Otto on shop.test 🎉"),
        ([facet(1, 12, "mention")], "ü Ann Other sells Otto on shop.test 🎉"),  # begins inside ü
        ([facet(-3, 12, "mention"), facet(9, 3, "link"), facet("3", "12", "link"), facet(True, 3, "link")], None),
        ([None, 5, {}, {"index": {}}, {"index": {"byteStart": 1, "byteEnd": 2}, "features": [None]}], None),
        ("no list", None),
    ],
)
def test_marks_by_the_facets_of_a_post(facets, text):
    original = "ü Ann Other sells Otto on shop.test 🎉"
    assert bluesky_post(event(text=original, record={"facets": facets})).text == (text or original)


PLACES, KINDS = st.integers(-2, 60), st.sampled_from(["mention", "link"])


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("@＠.a/-:+é \n🎉w"), max_size=40), st.lists(st.tuples(PLACES, PLACES, KINDS)))
def test_any_text_loses_its_people(text, facets):
    assert not re.search(r"[@＠](?!user)\w", posts.without_people(text, facets))


HOSTILE = ["@", "a.", "a@", ".a", "a", "a-", "www.", "did:", "a.bsky.social", "1️⃣", "🇪", ZWJ, VS16]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_take_no_time(piece, file):
    message = event(text=(piece * posts.MOST_CHARACTERS)[: posts.MOST_CHARACTERS - 2] + " 🎉")
    collected = posts.collect([message] * 5, bluesky_post, file, seconds=5, bar=False)
    assert collected.ended == "end of the stream"


# Parsing


def test_bluesky_post():
    reply = event(7, "hello 🎉", record={"reply": {}, "langs": ["pt-BR", "en", 5, None]})
    assert bluesky_post(reply) == Post("hello 🎉", frozenset({"pt", "en"}), reply=True, position=START + 7_000_000)
    assert bluesky_post(reply.encode()) == bluesky_post(reply)
    assert bluesky_post(event(record={"langs": "en"}, time_us="1")).languages == frozenset()
    assert bluesky_post(event(time_us="1")).position is bluesky_post(event(time_us=True)).position is None


def test_x_post():
    about = {"id": "1", "text": "RT: a &lt; b &amp; c 🎉", "lang": "en"}
    assert x_post(json.dumps({"data": about, "matching_rules": [{"id": "1"}]})) == Post(
        "RT: a < b & c 🎉", frozenset({"en"})
    )
    for more in ({"text": "RT @nobody: hi 🎉"}, {"referenced_tweets": [{"type": "retweeted", "id": "1"}, None]}):
        assert x_post(json.dumps({"data": about | more})).repost
    assert x_post(json.dumps({"data": about | {"referenced_tweets": [{"type": "replied_to"}]}})).reply
    assert x_post(json.dumps({"data": {"text": "x"}})).languages == frozenset()
    assert (
        x_post('{"errors": [{"title": "operational-disconnect", "disconnect_type": "OperationalDisconnect"}]}') is None
    )


OTHERS = [
    event(kind="identity"),
    event(commit=None),
    event(commit={"operation": "delete", "collection": "app.bsky.feed.post"}),
    event(commit={"operation": "update", "collection": "app.bsky.feed.post", "record": {"text": "x"}}),
    event(commit={"operation": "create", "collection": "app.bsky.feed.like", "record": {}}),
    '{"kind": "heartbeat", "payload": ""}',
]
GARBAGE = [
    "",
    "{",
    "[]",
    "null",
    "[" * 100_000,
    event()[:-30],
    event(text=5),
    event(record={"text": "\ud83d"}),
    event(text="a" * (posts.MOST_CHARACTERS + 1)),
    event(commit={"operation": "create", "collection": "app.bsky.feed.post"}),
    b"\x28\xb5\x2f\xfd\x00\xff",
    b"\xff\xfe{\x00",
    event().encode()[:60] + b"\xc3",
]


def test_other_events_are_no_posts():
    assert [bluesky_post(each) for each in OTHERS] == [None] * len(OTHERS)


@pytest.mark.parametrize("message", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_no_event(message):
    with pytest.raises(ValueError):
        bluesky_post(message)


NAMES = [
    "kind",
    "commit",
    "operation",
    "collection",
    "record",
    "text",
    "langs",
    "facets",
    "index",
    "byteStart",
    "byteEnd",
]
NAMES += ["features", "$type", "reply", "time_us", "data", "lang", "referenced_tweets", "type"]
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["commit", "create", "retweeted", "#link"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_a_post_or_not(value):
    in_a_post = event(record=value) if isinstance(value, dict) else event(text=value)
    for parse, message in ((bluesky_post, json.dumps(value)), (x_post, json.dumps(value)), (bluesky_post, in_a_post)):
        with suppress(ValueError):
            assert isinstance(parse(message), Post | None)


# Collecting


def test_reasons_are_counted(file):
    messages = [
        event(1, "kept 🎉"),
        event(2, "KEPT 🎉"),
        event(3, "kept 🔥"),
        event(4, "none"),
        event(5, "two 🎉🔥"),
        event(6, "half 🇪"),
        event(7, "@nobody https://invented.example 🎉"),
        event(8, "bonjour 🎉", record={"langs": ["fr"]}),
        event(9, "zzz 🎉", record={"langs": []}),
        event(10, "an answer 🎉", record={"reply": {}}),
        "garbage",
        OTHERS[0],
        "x" * (posts.MOST_BYTES + 1),
        Beat.TOO_LARGE,
        Beat.WAITING,
    ]
    collected = posts.collect(messages, bluesky_post, file, languages={"EN"}, replies=False, bar=False)
    assert collected == Collected(
        read=14,
        kept=2,
        dropped={
            "duplicate": 1,
            "no emoji": 1,
            "several emoji": 1,
            "unknown emoji": 1,
            "no words": 1,
            "language": 2,
            "reply": 1,
            "unreadable": 1,
            "no post": 1,
            "too large": 2,
        },
        ended="end of the stream",
    )
    assert kept(file) == [{"emoji": "🎉", "text": "kept"}, {"emoji": "🔥", "text": "kept"}]
    retweet = json.dumps({"data": {"text": "RT @nobody: hi 🎉"}})
    assert posts.collect([retweet], x_post, file, bar=False).dropped == {"repost": 1}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.text() | st.sampled_from([*OTHERS, *GARBAGE, event(1), event(2), Beat.TOO_LARGE])))
def test_all_that_is_read_is_accounted_for(tmp_path, messages):
    file = tmp_path / "any.ndjson"
    file.unlink(missing_ok=True)
    collected = posts.collect(messages, bluesky_post, file, bar=False)
    assert collected.read == len(messages) == collected.kept + sum(collected.dropped.values())
    assert collected.kept == len(kept(file)) == len(set(texts(file)))


def test_limits(file):
    endless = (event(number) for number in range(10**9))
    assert posts.collect(endless, bluesky_post, file, count=0, bar=False) == Collected(ended="count")
    assert next(endless, None) is None  # it is closed
    messages = (event(number) for number in range(10**9))
    collected = posts.collect(messages, bluesky_post, file, count=5, bar=False)
    assert (collected.kept, collected.read, collected.ended, len(kept(file))) == (5, 5, "count", 5)

    def silence() -> Iterator[Beat]:
        while True:
            time.sleep(0.01)
            yield Beat.WAITING

    assert posts.collect(silence(), bluesky_post, file, seconds=0.1, bar=False) == Collected(ended="time")


def test_bar(file, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(posts, "tqdm", functools.partial(posts.tqdm, disable=False))  # the tests have it off
    posts.collect([event(1), event(2), "x"], bluesky_post, file, count=9)
    assert "2/9" in capsys.readouterr().err
    posts.collect([event(3)], bluesky_post, file, bar=False)
    assert capsys.readouterr().err == ""


def test_duplicates_are_dropped_across_runs_and_within_the_memory(file):
    messages = [event(number) for number in (1, 2, 3, 1, 2, 3)]
    assert posts.collect(messages, bluesky_post, file, bar=False).kept == 3
    assert posts.collect(messages, bluesky_post, file, bar=False).kept == 0
    assert posts.collect(messages, bluesky_post, file, bar=False, memory=1).kept == 6
    assert posts.collect(messages[2:3] * 2, bluesky_post, file, bar=False, memory=1).kept == 0
    with posts._Output(file, 2) as output:
        for number in range(100):
            output.add("🎉", str(number))
        assert len(output.seen) == 2
        assert all(isinstance(key, int) for key in output.seen)


TORN = ["{", '{"emo', '{"emoji": "🎉", "text": "hal', '{"emoji": "🎉", "text": "all"}', '{"emoji": "' + "x" * 600_000]


@pytest.mark.parametrize("torn", TORN, ids=range(len(TORN)))
@pytest.mark.parametrize("before", [0, 1, 3])
def test_torn_line_is_mended(file, before, torn):
    whole = "".join(f'{{"emoji": "🎉", "text": "{number}"}}\n' for number in range(before))
    file.write_text(whole + torn, "utf8")
    posts.collect([event(1, "new 🎉")], bluesky_post, file, bar=False)
    assert texts(file) == [*map(str, range(before)), "new"]


@pytest.mark.parametrize("content", ["My novel", "a,b\n1,2\n", '{"a": 1}\n', "\n"])
def test_other_files_are_left_alone(file, content):
    file.write_text(content)
    with pytest.raises(PostsError, match=r"^posts\.ndjson holds something else than posts\. Name another file\.$"):
        posts.collect([event()], bluesky_post, file, bar=False)
    assert file.read_text() == content


def test_file_that_cannot_be_written(tmp_path):
    with pytest.raises(PostsError, match=r"cannot be written \(Is a directory\)"):
        posts.collect([event()], bluesky_post, tmp_path, bar=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_full_disk(tmp_path):
    with posts._Output(tmp_path / "x", 9) as output, open("/dev/full", "wb", buffering=0) as full:
        output.lines.close()
        output.lines = full
        with pytest.raises(PostsError, match=r"^x cannot be written \(No space left on device\)\.$"):
            output.add("🎉", "text")


def test_nothing_of_a_person_is_kept(file):
    """No name, no account, no number, no time, no link; and no other file."""
    lines = data.path("post-stream").read_text("utf8").splitlines()
    collected = posts.collect(lines, bluesky_post, file, bar=False)
    assert collected.kept > 30
    assert all(list(each) == ["emoji", "text"] for each in kept(file))
    content = file.read_text("utf8")
    assert not re.search(r"did:|invented|nobody|someone|2026|17672256|app\.bsky|http|bafy", content)
    assert content.count("@user") == 2
    assert {"@user"} == set(re.findall(r"@\w*", content))
    assert list(file.parent.iterdir()) == [file]


def test_cursor(tmp_path):
    file, flushed = tmp_path / "c", []
    cursor = Cursor(file, every=0)
    assert cursor.value is None
    cursor.advance(None, lambda: flushed.append(file.exists()))
    assert flushed == [False] and not file.exists()
    for position in (START, START - 5, START + 9, None, int(time.time() * 1e6) + 10**13, -3):
        cursor.advance(position, lambda: flushed.append(file.exists()))
    assert Cursor(file).value == START + 9
    assert flushed[:3] == [False, False, True]  # what it stands for is made safe before it is written
    assert list(tmp_path.iterdir()) == [file]
    file.write_text("nonsense")
    with pytest.raises(PostsError, match=r"^c holds no position\. Delete it"):
        Cursor(file)
    with pytest.raises(PostsError, match=r"cannot be written \(No such file"):
        lost = Cursor(tmp_path / "no" / "c")
        lost.value = 1
        lost.save(lambda: None)


# Bluesky's stream


def test_player_honours_the_cursor():
    lines = [event(number) for number in range(5)]
    lines.insert(3, "garbage, as old as the one before")
    with replay.streamed(lines, drops=[2, 0]) as address:
        for query, expected in (("", lines[:2]), ("", []), ("", lines), (f"?cursor={START + 2_000_000}", lines[2:])):
            with connect(address + query) as connection:
                assert [connection.recv(timeout=5) for _ in expected] == expected


def test_broken_connections_lose_nothing_and_repeat_nothing(file):
    lines = [event(number) for number in range(100)]
    with replay.streamed(lines, drops=[10, 0, 30, 3, 1, 50]) as home:
        collected = bluesky(file, home, count=100)
    assert texts(file) == [f"post number {number}" for number in range(100)]
    assert collected.ended == "count"
    assert collected.connections >= 6
    assert collected.dropped["duplicate"] == collected.read - 100 > 0
    assert int(Path(f"{file}.cursor").read_text()) == START + 99_000_000


def test_collecting_goes_on_where_it_stopped(file):
    lines = [event(number) for number in range(60)]
    with replay.streamed(lines) as home:
        assert bluesky(file, home, count=20).read == 20
        again = bluesky(file, home, count=40)
    assert texts(file) == [f"post number {number}" for number in range(60)]
    assert again.dropped == {"duplicate": posts.REWIND // 1_000_000 + 1}


def test_garbage_binary_and_truncated_messages_are_counted(file):
    lines = [event(1), *GARBAGE, *OTHERS, event(2)]
    lines = [line for line in lines if len(line) < posts.MOST_BYTES]
    with replay.streamed(lines) as home:
        collected = bluesky(file, home, count=2)
    assert collected.dropped == {"unreadable": len(GARBAGE), "no post": len(OTHERS)}
    assert collected.connections == 1


@pytest.mark.parametrize("aside", [1_000, 2_000_000])
def test_huge_message_is_passed_over(file, aside):
    """The server ignores the limit that it is told. The connection breaks, and a leap is made over the place."""
    huge = event(1, "x" * 400_000, time_us=START + 9_000_000 + aside)
    with replay.streamed([*map(event, range(10)), huge, *map(event, range(14, 20))]) as home:
        collected = bluesky(file, home, count=16)
    assert collected.ended == "count"
    assert collected.dropped["too large"] >= 1
    assert texts(file) == [f"post number {number}" for number in [*range(10), *range(14, 20)]]


def test_slow_stream_and_time_limit(file):
    with replay.streamed([event(number) for number in range(99)], pause=0.05) as home:
        collected = bluesky(file, home, seconds=1)
    assert collected.ended == "time"
    assert 0 < collected.kept < 30
    assert collected.connections == 1


def test_silence_counts_as_a_broken_connection(file):
    with replay.streamed([event(1)]) as home:
        cursor = Cursor(f"{file}.cursor")
        stream = posts.Bluesky(cursor, home, pause=0.01, silence=0.1)
        collected = posts.collect(stream, bluesky_post, file, cursor=cursor, seconds=1.2, bar=False)
    assert collected.kept == 1
    assert collected.dropped["duplicate"] == collected.read - 1 >= 2
    assert stream.connections >= 3


def test_flood(file):
    with replay.streamed([event(number) for number in range(20_000)]) as home:
        collected = bluesky(file, home, count=20_000, memory=1000, seconds=60)
    assert (collected.ended, collected.read, collected.connections) == ("count", 20_000, 1)
    assert len(set(texts(file))) == 20_000


def test_memory_stays_flat(file):
    lines = [event(number, record={"embed": "x" * 10_000}) for number in range(3000)]  # 30 MB
    with replay.streamed(lines) as home:
        tracemalloc.start()
        try:
            collected = bluesky(file, home, count=3000, memory=1000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert collected.kept == 3000
    assert peak < 5e6


@contextmanager
def refusing(status: int, headers: dict[str, str] | None = None, times: int = 10**9) -> Iterator[tuple[str, list]]:
    """A Jetstream that answers `status` so many times, and only then sends a post."""
    seen = []

    def refuse(connection, request):
        seen.append((time.monotonic(), request.headers["User-Agent"]))
        if len(seen) <= times:
            answer = connection.respond(status, "no")
            for name, value in (headers or {}).items():
                answer.headers[name] = value
            return answer

    def play(connection):
        connection.send(event(1))
        connection.recv()

    with serve(play, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/subscribe", seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_asked_again(file, status):
    with refusing(status, times=2) as (home, seen):
        assert bluesky(file, home, count=1, pause=0.001).connections == 3
    assert {agent for _, agent in seen} == {data.USER_AGENT}


def test_retry_after_is_honoured(file):
    with refusing(503, {"Retry-After": "1"}, times=1) as (home, seen):
        bluesky(file, home, count=1, pause=0)
    assert seen[1][0] - seen[0][0] >= 1


def test_retry_after_as_date_or_nonsense():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < posts._asked_to_wait({"Retry-After": soon}) <= 90
    for value, seconds in (("7", 7), ("99999999", 3600), ("", 0), ("soon", 0), ("-5", 0), ("²", 0)):
        assert posts._asked_to_wait({"Retry-After": value}) == seconds
    assert posts._asked_to_wait(Response(503, "", {}).headers) == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusal_is_final(file, status):
    with refusing(status) as (home, seen), pytest.raises(PostsError, match=rf"^Bluesky .*\({status}\)"):
        bluesky(file, home)
    assert len(seen) == 1


def test_time_limit_holds_while_waiting_for_the_next_try(file):
    with refusing(503, {"Retry-After": "60"}) as (home, _):
        assert bluesky(file, home, seconds=0.5).ended == "time"


def test_address_that_cannot_be_reached(file):
    message = r"^ws://127\.0\.0\.1:9/subscribe cannot be reached: 3 tries failed\. The last time, the connection broke"
    with pytest.raises(PostsError, match=message):
        bluesky(file, "ws://127.0.0.1:9/subscribe", tries=3)
    with pytest.raises(PostsError, match=r"^'bluesky' is no address of a stream\. It begins with wss://\.$"):
        bluesky(file, "bluesky")


def test_what_was_kept_before_is_said(file):
    with replay.streamed([event(1)], drops=[1, 0, 0, 0, 0]) as home, pytest.raises(PostsError) as caught:
        bluesky(file, home, tries=3)
    assert str(caught.value).endswith("1 posts were kept in posts.ndjson before.")
    assert Path(f"{file}.cursor").exists()


def test_waits_grow_and_are_set_back_by_a_message(monkeypatch):
    waits = []

    class Failing(posts.Stream):
        def connection(self):
            if self.connections == 4:
                yield b"a message"
            raise posts._LostError("so", slow=60 if self.connections == 6 else 1)

    monkeypatch.setattr(Failing, "_rest", lambda self, lost, failures: waits.append((lost.slow, failures)) or iter(()))
    with pytest.raises(PostsError, match="5 tries failed"):
        list(Failing("x", tries=5))
    assert waits == [(1, 1), (1, 2), (1, 3), (1, 1), (1, 2), (60, 3), (1, 4)]


def test_waits_are_spread_and_limited(monkeypatch):
    slept, clock = [], [0.0]
    monkeypatch.setattr(posts.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(posts.time, "sleep", lambda s: (slept.append(s), clock.__setitem__(0, clock[0] + s)))

    def waited(failures: int, **lost: float) -> float:
        before = clock[0]
        list(posts.Stream("x", pause=1)._rest(posts._LostError("", **lost), failures))
        return clock[0] - before

    first, third, last = ([waited(failures) for _ in range(30)] for failures in (1, 3, 40))
    assert 0.5 <= min(first) < max(first) <= 1.001
    assert 2 <= min(third) < max(third) <= 4.001
    assert 160 <= min(last) < max(last) <= 320.1
    clock[0] = 0.0  # a difference from another start would be rounded
    assert waited(1, wait=1000) >= 1000
    assert 30 <= waited(1, slow=60) <= 60.1
    assert max(slept) <= 1  # so that limits are looked at


# X's stream


class XServer(local_server.Handler):
    """X: `answers` holds what each connection to the stream gets, the last one again and again; rules are kept."""

    protocol_version = "HTTP/1.1"
    answers: list
    rules: list[dict]
    seen: list[tuple]

    def do_GET(self):
        self.seen.append((self.path, self.headers["Authorization"], time.monotonic()))
        if self.headers["Authorization"] != "Bearer invented":
            return self.whole(401, {"title": "Unauthorized", "status": 401})
        if self.path.startswith("/stream/rules"):
            return self.whole(200, {"data": self.rules} if self.rules else {"meta": {}})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, tuple):
            return self.whole(answer[0], {"title": "ConnectionException"}, answer[1])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        for piece in answer:
            if isinstance(piece, float):
                time.sleep(piece)
            else:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if any(rule["value"] == "bad" for rule in order.get("add", [])):
            return self.whole(400, {"errors": [{"title": "UnprocessableEntity"}]})
        for rule in order.get("add", []):
            self.rules.append(rule | {"id": str(len(self.seen) + len(self.rules))})
        gone = order.get("delete", {}).get("ids", [])
        self.rules[:] = [rule for rule in self.rules if rule["id"] not in gone]
        self.seen.append((self.path, order, time.monotonic()))
        self.whole(201, {"meta": {"summary": {"created": 1}}})

    def whole(self, status: int, content: dict, headers: dict | None = None):
        self.reply(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(content).encode())


@pytest.fixture
def x_home(monkeypatch) -> Iterator[str]:
    monkeypatch.setenv("X_BEARER_TOKEN", "invented\n")
    XServer.answers, XServer.rules, XServer.seen = [[]], [], []
    with local_server.serving(XServer) as address:
        yield f"{address}stream"


def tweet(number: int) -> bytes:
    return (
        json.dumps({"data": {"id": str(number), "text": f"tweet number {number} 🎉", "lang": "en"}}).encode() + b"\r\n"
    )


def collect_x(file: Path, home: str, **options: object) -> Collected:
    return posts.x(file, home=home, **({"bar": False, "pause": 0.001, "seconds": 20} | options))


def test_x_lines_keep_alives_and_drops(file, x_home):
    first, second = tweet(1), tweet(2)
    XServer.answers = [
        [first[:20], first[20:] + second, b"\r\n", b"garbage\r\n", b"\xff\xfe\r\n", tweet(3)[:30]],
        [b'{"errors": [{"title": "operational-disconnect"}]}\r\n', b"x" * (posts.MOST_BYTES * 2), b"x\r\n", tweet(3)],
        [b"\r\n", 0.05, b"\r\n", tweet(3) + tweet(4), 1.0],
    ]
    collected = collect_x(file, x_home, count=4, languages={"en"})
    assert texts(file) == [f"tweet number {number}" for number in (1, 2, 3, 4)]
    assert collected.dropped == {"unreadable": 3, "no post": 1, "too large": 1, "duplicate": 1}
    assert (collected.connections, collected.ended) == (3, "count")
    assert all(authorization == "Bearer invented" for path, authorization, _ in XServer.seen if "fields" in path)
    assert not any("id" in each or "time" in each for each in kept(file))


def test_x_rules_are_set_and_others_left_alone(file, x_home):
    XServer.rules = [{"id": "1", "value": "cats"}, {"id": "2", "value": "old", "tag": posts.X_TAG}]
    XServer.answers = [[tweet(1)]]
    collect_x(file, x_home, count=1, signs=["🎉", "🔥"], languages={"en", "de"})
    wanted = "(🎉 OR 🔥) -is:retweet (lang:de OR lang:en)"
    assert [rule["value"] for rule in XServer.rules] == ["cats", wanted]
    posts.x_rules([wanted], home=x_home, pause=0)
    assert sum(isinstance(about, dict) for _, about, _ in XServer.seen) == 2  # one deletion, one addition, nothing more
    with pytest.raises(PostsError, match=r"^X does not accept the rules: UnprocessableEntity\.$"):
        posts.x_rules(["bad"], home=x_home, pause=0)


def test_x_waits_as_it_is_told(file, x_home):
    XServer.answers = [(429, {"Retry-After": "1"}), (503, {}), (429, {}), [tweet(1)]]
    assert collect_x(file, x_home, count=1).connections == 4
    when = [moment for path, _, moment in XServer.seen if "fields" in path]
    assert when[1] - when[0] >= 1


def test_x_silence(file, x_home, monkeypatch):
    XServer.answers = [[tweet(1), 0.6], [tweet(2)]]
    stream = posts.X(x_home, pause=0.001, silence=0.2)
    assert posts.collect(stream, x_post, file, count=2, seconds=10, bar=False).kept == 2
    assert stream.connections == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}), r"^X does not know the token \(401\)\. Look at X_BEARER_TOKEN"),
        ((402, {}), r"^X answered 402: the credit"),
        ((403, {}), r"^X refuses the token \(403\): the plan"),
        ((404, {}), r"^X refuses the request \(404\)"),
    ],
)
def test_x_refuses(file, x_home, answer, message):
    XServer.answers = [answer]
    with pytest.raises(PostsError, match=message):
        collect_x(file, x_home)
    assert sum("fields" in path for path, *_ in XServer.seen) == 1


@pytest.mark.parametrize("token", [None, "", "  ", "two words", "ключ"])
def test_x_without_a_token(file, x_home, monkeypatch, token):
    monkeypatch.delenv("X_BEARER_TOKEN")
    if token is not None:
        monkeypatch.setenv("X_BEARER_TOKEN", token)
    with pytest.raises(PostsError, match=r"^X asks for a key: put the bearer token .* X_BEARER_TOKEN\. Bluesky"):
        collect_x(file, x_home)
    assert XServer.seen == [] and not file.exists()


def test_x_with_a_wrong_token_and_without_x(file, x_home, monkeypatch):
    monkeypatch.setenv("X_BEARER_TOKEN", "secretsecret")
    with pytest.raises(PostsError, match=r"\(401\)") as caught:
        collect_x(file, x_home)
    with pytest.raises(
        PostsError, match=r"^http://127\.0\.0\.1:9/rules cannot be reached: the connection broke"
    ) as other:
        collect_x(file, "http://127.0.0.1:9", tries=1)
    with pytest.raises(PostsError, match=r"^'x' is no address"):
        list(posts.X("x"))
    assert "secretsecret" not in str(caught.value) + str(other.value)


def test_lines_of_any_blocks():
    def broken() -> Iterator[bytes]:
        yield b"one\r\n\r\ntw"
        yield b"o\nthree"
        raise requests.ConnectionError

    lines = posts._lines(broken())
    assert [next(lines) for _ in range(4)] == [b"one", Beat.WAITING, b"two", b"three"]
    with pytest.raises(requests.ConnectionError):
        next(lines)


# Ctrl-C and crashes

COLLECT = """
import sys
from cookbook.sources import posts
print(posts.bluesky(sys.argv[1], home=sys.argv[2], pause=0.01, bar=False))
"""
NUMBERS = [f"post number {number}" for number in range(600)]


@contextmanager
def collecting(file: Path, home: str) -> Iterator[subprocess.Popen]:
    """Another process that collects into `file`, and has kept some when the block begins."""
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT / "notebooks")}
    command = [sys.executable, "-c", COLLECT, str(file), home]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while process.poll() is None and (not file.exists() or file.stat().st_size < 2000):
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


@pytest.fixture
def slow_home() -> Iterator[str]:
    with replay.streamed([event(number) for number in range(600)], pause=0.003) as home:
        yield home


def test_ctrl_c_ends_cleanly(file, slow_home):
    with collecting(file, slow_home) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    read, count, end = re.match(r"Collected\(read=(\d+), kept=(\d+), .*ended='(.*)'\)", out).groups()
    assert (int(read), int(count), end) == (len(kept(file)), len(kept(file)), "Ctrl-C")
    assert texts(file) == NUMBERS[: int(count)]
    assert int(Path(f"{file}.cursor").read_text()) == START + (int(count) - 1) * 1_000_000
    bluesky(file, slow_home, count=600 - int(count))
    assert texts(file) == NUMBERS


def test_killed_and_started_again(file, slow_home):
    with collecting(file, slow_home) as process:
        process.kill()
        process.wait(timeout=20)
    before = len(file.read_bytes().splitlines())
    assert 0 < before < 600
    with open(file, "ab") as torn:
        torn.write('{"emoji": "🎉", "text": "torn'.encode()[:-2])
    bluesky(file, slow_home, count=600 - before)
    assert texts(file) == NUMBERS


@pytest.mark.parametrize("number", [0, 1, 7])
def test_ctrl_c_while_a_message_is_worked_on(file, number):
    """It waits until the message is written and counted."""

    def parse(message: str) -> Post | None:
        if len(seen) == number:
            signal.raise_signal(signal.SIGINT)
        seen.append(message)
        return bluesky_post(message)

    seen = []
    collected = posts.collect(map(event, range(99)), parse, file, bar=False)
    assert (collected.ended, collected.read, collected.kept) == ("Ctrl-C", number + 1, number + 1)
    assert len(kept(file)) == number + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread(file):
    found = []
    thread = threading.Thread(target=lambda: found.append(posts.collect([event()], bluesky_post, file, bar=False)))
    thread.start()
    thread.join()
    assert found[0].kept == 1
