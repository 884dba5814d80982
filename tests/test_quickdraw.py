"""Recipe 13.1: the formats of Quick, Draw!, read and written, and its client against a local server."""

import gzip
import io
import itertools
import json
import time
import tracemalloc

import local_server
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data, paths
from cookbook.sources import quickdraw
from cookbook.sources.quickdraw import Drawing, QuickDraw, QuickDrawError

READERS = [quickdraw.read_binary, quickdraw.read_ndjson]


def strokes_of(*points: list) -> tuple[np.ndarray, ...]:
    return tuple(np.array(each, "uint8") for each in points)


CAT = Drawing("cat", 5201136883597312, "VE", True, 1488482835, strokes_of([[130, 72], [113, 40]], [[76, 82]]))
DOG = Drawing("dog", 7, "", False, 0, strokes_of([[0, 0], [255, 255], [1, 2]]))


def same(one: Drawing, other: Drawing) -> bool:
    facts = [(each.word, each.key, each.country, each.recognised, each.seconds) for each in (one, other)]
    strokes = zip(one.strokes, other.strokes, strict=True)
    return facts[0] == facts[1] and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in strokes)


def binary(*drawings: Drawing) -> bytes:
    stream = io.BytesIO()
    quickdraw.write_binary(drawings, stream)
    return stream.getvalue()


def ndjson(*drawings: Drawing) -> bytes:
    stream = io.BytesIO()
    quickdraw.write_ndjson(drawings, stream)
    return stream.getvalue()


def line(**changes: object) -> bytes:
    """A line of ndjson with some values changed."""
    return json.dumps(json.loads(ndjson(CAT)) | changes).encode() + b"\n"


coordinates = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=20)
drawings = st.builds(
    Drawing,
    word=st.text(max_size=8),
    key=st.integers(0, 2**64 - 1),
    country=st.from_regex(r"([A-Z0-9]{2})?", fullmatch=True),
    recognised=st.booleans(),
    seconds=st.integers(0, 2**32 - 1),
    strokes=st.lists(coordinates, min_size=1, max_size=5).map(lambda each: strokes_of(*each)),
)


# Reading and writing


def test_the_binary_format_is_what_its_description_says():
    content = binary(CAT)
    assert content[:8] == (5201136883597312).to_bytes(8, "little")
    assert content[8:11] == b"VE\x01"
    assert content[11:15] == (1488482835).to_bytes(4, "little")
    assert content[15:] == bytes([2, 0, 2, 0, 130, 113, 72, 40, 1, 0, 76, 82])  # x before y


def test_ndjson_is_what_its_description_says():
    assert json.loads(ndjson(CAT)) == {
        "word": "cat",
        "countrycode": "VE",
        "timestamp": "2017-03-02 19:27:15 UTC",
        "recognized": True,
        "key_id": "5201136883597312",
        "drawing": [[[130, 113], [72, 40]], [[76], [82]]],
    }


@pytest.mark.parametrize("packed", [False, True])
@given(st.lists(drawings, max_size=5))
def test_what_was_written_is_read(packed, made):
    for write, read in ((binary, quickdraw.read_binary), (ndjson, quickdraw.read_ndjson)):
        content = gzip.compress(write(*made)) if packed else write(*made)
        found = list(read(io.BytesIO(content)))
        words = [each.word for each in made] if write is ndjson else [""] * len(made)
        assert [each.word for each in found] == words
        made_so = [Drawing(word, *list(vars(each).values())[1:]) for each, word in zip(made, words, strict=True)]
        assert all(itertools.starmap(same, zip(found, made_so, strict=True)))


@pytest.mark.parametrize("packed", [False, True])
@given(st.lists(drawings, min_size=1, max_size=3), st.data())
def test_a_cut_file_gives_what_is_whole_and_names_the_drawing_that_is_not(packed, made, choose):
    for write, read in ((binary, quickdraw.read_binary), (ndjson, quickdraw.read_ndjson)):
        ends = [len(write(*made[:count])) for count in range(len(made) + 1)]
        content = gzip.compress(write(*made), 0) if packed else write(*made)
        end = choose.draw(st.integers(1, len(content) - 1))
        found = []
        try:
            found.extend(read(io.BytesIO(content[:end])))
        except QuickDrawError as error:
            assert f"Drawing {len(found) + 1} is cut" in str(error)
        else:
            assert not packed
            assert end in ends or (write is ndjson and end + 1 in ends)  # only the last line's end is missing
        assert len(found) <= len(made)


@pytest.mark.parametrize("read", READERS)
@given(st.binary(max_size=300), st.booleans())
def test_no_other_error_comes_of_any_bytes(read, content, packed):
    if packed:
        content = gzip.compress(content)
    try:
        for drawing in read(io.BytesIO(content)):
            assert drawing.strokes
    except QuickDrawError as error:
        assert str(error).startswith("Drawing ")


@pytest.mark.parametrize("read", READERS)
@given(st.lists(drawings, min_size=1, max_size=3), st.data())
def test_no_other_error_comes_of_a_byte_changed(read, made, choose):
    content = bytearray((binary if read is quickdraw.read_binary else ndjson)(*made))
    content[choose.draw(st.integers(0, len(content) - 1))] = choose.draw(st.integers(0, 255))
    for form in (bytes(content), gzip.compress(bytes(content))[:-3]):
        try:
            list(read(io.BytesIO(form)))
        except QuickDrawError as error:
            assert str(error).startswith("Drawing ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(st.sampled_from(sorted(json.loads(ndjson(CAT)))), json_values)
def test_no_other_error_comes_of_any_value_in_ndjson(field, value):
    try:
        list(quickdraw.read_ndjson(io.BytesIO(line(**{field: value}))))
    except QuickDrawError as error:
        assert str(error).startswith("Drawing 1 is corrupt")


@pytest.mark.parametrize(
    "changes",
    [
        {"drawing": []},
        {"drawing": [[[1, 2], [3]]]},
        {"drawing": [[[1, 2]]]},
        {"drawing": [[[], []]]},
        {"drawing": [[[1e300], [0]]]},
        {"drawing": "abc"},
        {"recognized": "yes"},
        {"key_id": "-1"},
        {"countrycode": "Venezuela"},
        {"timestamp": "yesterday"},
        {"timestamp": "1492-10-12 00:00:00 UTC"},
    ],
)
def test_ndjson_that_cannot_be_is_refused(changes):
    with pytest.raises(QuickDrawError, match="Drawing 2 is corrupt"):
        list(quickdraw.read_ndjson(io.BytesIO(ndjson(CAT) + line(**changes))))


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 10_000, "nonsense", "[]", "\xff"])
def test_lines_that_are_no_drawing_are_refused(content):
    with pytest.raises(QuickDrawError, match="Drawing 1 is corrupt"):
        list(quickdraw.read_ndjson(io.BytesIO(content.encode("latin-1") + b"\n")))


def test_raw_ndjson_keeps_fractions_and_leaves_the_times_out():
    (raw,) = quickdraw.read_ndjson(io.BytesIO(line(drawing=[[[1.5, 300.0], [2.0, 4.25], [0, 17]]])))
    assert raw.strokes[0].dtype == np.float32
    assert raw.strokes[0].tolist() == [[1.5, 2.0], [300.0, 4.25]]


def test_fractions_of_seconds_and_blank_lines_are_read():
    content = b"\n" + line(timestamp="2017-03-02 19:27:15.6912 UTC") + b"\n\n"
    assert [each.seconds for each in quickdraw.read_ndjson(io.BytesIO(content))] == [1488482835]


@pytest.mark.parametrize(
    ("at", "value"), [(8, 1), (10, 2), (15, 0), (17, 0)], ids=["country", "recognised", "no strokes", "no points"]
)
def test_binary_that_cannot_be_is_refused(at, value):
    broken = bytearray(binary(CAT))
    broken[at] = value
    with pytest.raises(QuickDrawError, match="Drawing 2 is corrupt"):
        list(quickdraw.read_binary(io.BytesIO(binary(DOG) + broken)))


def test_a_file_of_zeros_is_corrupt_and_one_of_nothing_is_empty():
    with pytest.raises(QuickDrawError, match="Drawing 1 is corrupt"):
        list(quickdraw.read_binary(io.BytesIO(bytes(1000))))
    assert list(quickdraw.read_binary(io.BytesIO())) == list(quickdraw.read_ndjson(io.BytesIO())) == []


def test_too_many_points_are_refused_before_they_are_read():
    header = quickdraw.HEADER.pack(1, b"DE", 1, 0, 65535)
    stroke = quickdraw.COUNT.pack(65535) + bytes(2 * 65535)
    with pytest.raises(QuickDrawError, match="corrupt: a stroke of 65535 points, 131070 in all"):
        list(quickdraw.read_binary(io.BytesIO(header + 3 * stroke)))


@pytest.mark.parametrize("write", [binary, ndjson])
def test_memory_does_not_grow_with_the_file(write, tmp_path):
    content = write(CAT, DOG) * 10_000
    file = tmp_path / f"many{'.bin' if write is binary else '.ndjson'}.gz"
    file.write_bytes(gzip.compress(content))
    tracemalloc.start()
    assert sum(1 for _ in quickdraw.read(file)) == 20_000
    assert tracemalloc.get_traced_memory()[1] < 400_000 < len(content)
    tracemalloc.stop()


def test_what_the_binary_format_cannot_hold_is_refused():
    raw = Drawing("cat", 1, "DE", True, 0, (np.array([[0.5, 300.0]]),))
    with pytest.raises(ValueError, match="simplify them first"):
        binary(raw)


def test_files_are_read_by_their_ending(tmp_path):
    for name, content in (
        ("a.bin", binary(CAT)),
        ("a.ndjson", ndjson(CAT)),
        ("a.bin.gz", gzip.compress(binary(CAT))),
    ):
        (tmp_path / name).write_bytes(content)
        (found,) = quickdraw.read(tmp_path / name)
        assert found.key == CAT.key
    with pytest.raises(ValueError, match=r"neither in .bin nor in .ndjson"):
        quickdraw.read(tmp_path / "a.txt")
    with pytest.raises(QuickDrawError, match="cannot be read: No such file"):
        list(quickdraw.read(tmp_path / "b.bin"))


def test_the_sample_is_whole():
    found = list(quickdraw.read(data.path("kanji")))
    assert len(found) == 2000
    assert len({each.word for each in found}) == 2000
    for drawing in found:
        points = np.concatenate(drawing.strokes)
        assert points.dtype == np.uint8
        assert points.min() <= 2  # the outermost point may be one that was left out
        assert points.max() >= 253
        assert drawing.key == ord(drawing.word)


# Strokes and pixels


@given(st.lists(coordinates, min_size=1, max_size=4), st.floats(0.1, 50), st.floats(-1000, 1000))
def test_simplified_strokes_are_near_the_drawn_ones(points, scale, shift):
    drawn = [np.array(each, float) for each in points]
    simple = quickdraw.simplify([each * scale + shift for each in drawn])
    both = np.concatenate(drawn)
    side = np.ptp(both, axis=0).max()
    assert np.concatenate(simple).min() <= 2  # the outermost point may be one that is left out
    if side:
        assert np.concatenate(simple).max() >= 253
        for line_, kept in zip(drawn, simple, strict=True):
            for place in (line_ - both.min(axis=0)) * 255 / side:
                assert distance(place, kept.astype(float)) < 2 + 1  # half a unit of rounding at each end


def distance(place: np.ndarray, line_: np.ndarray) -> float:
    """How far a point is from a line of (n, 2)."""
    best = np.linalg.norm(line_ - place, axis=1).min()
    for a, b in itertools.pairwise(line_):
        along = b - a
        if along @ along:
            share = np.clip((place - a) @ along / (along @ along), 0, 1)
            best = min(best, np.linalg.norm(place - a - share * along))
    return best


def test_a_straight_line_needs_two_points():
    (simple,) = quickdraw.simplify([np.c_[np.arange(50), np.arange(50)]])
    assert simple.tolist() == [[0, 0], [255, 255]]


def test_a_line_is_drawn_where_it_is_and_as_thick_as_asked():
    picture = quickdraw.rasterise(strokes_of([[0, 128], [255, 128]]), 304, width=16, margin=16)  # a pixel a unit
    rows, columns = np.nonzero(picture > 127)
    assert (rows.min(), rows.max()) == (144, 159)
    assert columns.min() == pytest.approx(16, abs=1)
    assert columns.max() == pytest.approx(287, abs=1)
    assert np.abs(picture - picture[::-1].astype(float)).mean() < 0.5


def test_edges_are_antialiased_and_sizes_free():
    small = quickdraw.rasterise(CAT.strokes)
    assert small.shape == (28, 28)
    assert small.dtype == np.uint8
    assert len(np.unique(small)) > 10
    large = quickdraw.rasterise(CAT.strokes, 112).reshape(28, 4, 28, 4).mean(axis=(1, 3))
    assert np.abs(large - small).mean() < 2
    with pytest.raises(ValueError, match="needs a stroke"):
        quickdraw.rasterise([])


def test_a_dot_is_a_disc():
    picture = quickdraw.rasterise(strokes_of([[9, 9]]), 388, width=100, margin=16)  # a pixel a unit
    assert (picture / 255).sum() == pytest.approx(np.pi * 50**2, rel=0.01)


# The client


class Bucket(local_server.Handler):
    """Answers from a table of path → (status, headers, body), a list of such, or a function."""

    answers: dict
    seen: list[str]

    def do_GET(self):
        self.seen.append(self.path)
        answer = self.answers.get(self.path, (404, {}, b"<Error><Code>NoSuchKey</Code></Error>"))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return answer(self) if callable(answer) else self.reply(*answer)


@pytest.fixture
def bucket():
    Bucket.answers, Bucket.seen = {}, []
    with local_server.serving(Bucket) as address:
        yield QuickDraw(address, pause=0.01, retries=2, timeout=2)


def test_the_first_drawings_of_a_category(bucket):
    Bucket.answers = {
        "/binary/sea%20turtle.bin": (200, {}, binary(CAT, DOG, CAT)),
        "/simplified/cat.ndjson": (200, {}, ndjson(CAT, DOG)),
        "/raw/cat.ndjson": (200, {}, line(drawing=[[[0.5], [1], [9]]])),
    }
    found = list(bucket.drawings("sea turtle", 2))
    assert [(each.word, each.key) for each in found] == [("sea turtle", CAT.key), ("sea turtle", DOG.key)]
    assert len(list(bucket.drawings("sea turtle"))) == 3
    assert [each.word for each in bucket.drawings("cat", form="simplified")] == ["cat", "dog"]
    assert [each.strokes[0].dtype for each in bucket.drawings("cat", form="raw")] == [np.float32]


def test_the_download_stops_when_there_is_enough(bucket):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        block = binary(CAT) * 1000
        while True:  # until the client hangs up
            handler.wfile.write(block)
            sent.append(len(block))

    Bucket.answers = {"/binary/cat.bin": endless}
    assert len(list(bucket.drawings("cat", 10))) == 10
    time.sleep(0.2)
    stopped = sum(sent)
    time.sleep(0.2)
    assert sum(sent) == stopped


def test_an_empty_category_has_no_drawings(bucket):
    Bucket.answers = {"/binary/cat.bin": (200, {}, b"")}
    assert list(bucket.drawings("cat")) == []


def test_a_busy_server_is_asked_again_when_it_says(bucket):
    busy = (429, {"Retry-After": "1"}, b"")
    Bucket.answers = {"/binary/cat.bin": [busy, (503, {}, b""), (200, {}, binary(CAT))]}
    begin = time.monotonic()
    assert len(list(bucket.drawings("cat"))) == 1
    assert time.monotonic() - begin > 0.9
    assert len(Bucket.seen) == 3


def test_a_server_that_stays_broken_is_one_sentence(bucket):
    Bucket.answers = {"/binary/cat.bin": (500, {}, b"")}
    with pytest.raises(QuickDrawError, match="gave no good answer"):
        list(bucket.drawings("cat"))
    assert len(Bucket.seen) == 3


def test_a_slow_server_is_given_up(bucket):
    bucket = QuickDraw(bucket.home, pause=0.01, retries=0, timeout=0.2)

    def slow(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(binary(CAT))
        handler.wfile.flush()
        time.sleep(1)

    Bucket.answers = {"/binary/cat.bin": slow}
    with pytest.raises(QuickDrawError, match="broke off"):
        list(bucket.drawings("cat"))


def test_a_connection_that_breaks_is_one_sentence(bucket):
    content = binary(*[CAT] * 100)
    Bucket.answers = {"/binary/cat.bin": (200, {"Content-Length": len(content)}, content[:-7])}
    with pytest.raises(QuickDrawError, match="broke off"):
        list(bucket.drawings("cat"))


def test_a_cut_file_at_home_names_the_drawing(bucket):
    Bucket.answers = {"/binary/cat.bin": (200, {}, binary(CAT, DOG)[:-1])}
    found = bucket.drawings("cat")
    assert next(found).key == CAT.key
    with pytest.raises(QuickDrawError, match="Drawing 2 is cut"):
        next(found)


def test_what_cannot_be_asked_for_is_refused(bucket):
    with pytest.raises(QuickDrawError, match="has no category 'unicorn'"):
        list(bucket.drawings("unicorn"))
    for arguments in (("cat", 0), ("", 1), ("../cat", 1)):
        with pytest.raises(ValueError, match=r"at least 1 drawing|A category is a word"):
            bucket.drawings(*arguments)
    with pytest.raises(ValueError, match="forms are binary, simplified, raw"):
        bucket.drawings("cat", form="svg")
    assert len(Bucket.seen) == 1


def test_a_whole_file_is_kept(bucket, monkeypatch, tmp_path):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path))
    Bucket.answers = {"/binary/cat.bin": (200, {}, binary(CAT, DOG))}
    file = bucket.download("cat")
    assert [each.key for each in quickdraw.read(file)] == [CAT.key, DOG.key]
    assert bucket.download("cat") == file
    assert len(Bucket.seen) == 1
    assert file == paths.generated("quickdraw", "cat-binary.bin")
    with pytest.raises(data.DataError, match=r"download of unicorn-binary.bin"):
        bucket.download("unicorn")


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_bitmaps_are_read_without_the_rest(bucket):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 784), "uint8")
    Bucket.answers = {"/numpy_bitmap/cat.npy": (200, {}, npy(pictures))}
    assert np.array_equal(bucket.bitmaps("cat", 3), pictures[:3].reshape(3, 28, 28))
    assert bucket.bitmaps("cat").shape == bucket.bitmaps("cat", 99).shape == (5, 28, 28)
    with pytest.raises(QuickDrawError, match="no category"):
        bucket.bitmaps("unicorn")
    Bucket.answers["/numpy_bitmap/cat.npy"] = (200, {}, npy(pictures)[:-1])
    with pytest.raises(QuickDrawError, match="Picture 5 is cut"):
        bucket.bitmaps("cat")


@pytest.mark.parametrize(
    "content",
    [npy(np.zeros((2, 784))), npy(np.zeros((2, 28), "uint8")), npy(np.array([{}], object)), b"", b"\x93NUMPY\x01\x00"],
)
def test_other_arrays_are_refused(content):
    with pytest.raises(QuickDrawError):
        quickdraw.read_bitmaps(io.BytesIO(content))
