"""Notebook 08.2: roles of marks, quotes, what counts as said, joined utterances, dialogues, and the file it ships."""

import json
import re
import time
import zipfile
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import book
from cookbook import data, paths

PASSAGES = json.loads((paths.ROOT / "tests" / "dialogue" / "passages.json").read_text("utf8"))["passages"]
SHORT = st.text(alphabet="ab sS.,!—-\n\"'“”‘’«»„([0_") | st.lists(
    st.sampled_from(['"', "'", "“", "”", "‘", "’", "said she", "Dear Sir,--", "thought", "\n\n", " ", "Yes.", "boys"])
).map("".join)


@pytest.fixture(scope="module")
def nb():
    return book.definitions("08.2")


def said(nb, text, marks=None):
    return [each.text for each in nb.utterances(text, marks)]


def test_paragraphs_are_parted_by_blank_lines(nb):
    text = "  one\ntwo \n \t\n\n three\n"
    assert [text[begin:end] for begin, end in nb.paragraphs(text)] == ["one\ntwo", "three"]
    assert nb.paragraphs(" \n\n ") == nb.paragraphs("") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"Yes."', "straight double"),
        ("He said “yes”.", "curly double"),
        ("'I said \"no\".'", "straight single"),
        ("‘I said “no”.’", "curly single"),
        ("« Oui. »", "guillemets"),
        ("»Ja.«", "inward guillemets"),
        ("„Ja.“", "low quotes"),
    ],
)
def test_style(nb, text, name):
    assert nb.style(text) == name


@pytest.mark.parametrize("name", ["straight double", "curly double", "straight single", "curly single"])
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("<I think,> said he, <that it is so.>", ["I think, that it is so."]),
        ("<Wait--> She ran. <Wait for me …>", ["Wait-- Wait for me …"]),
        ("<One.\n\n<Two.> He sat.\n\n<Three?>", ["One. Two.", "Three?"]),
        ("<Lost, said he.\n\nThe rain fell.\n\n<Come!>", ["Lost, said he.", "Come!"]),
        ("<Yes,> she said. <No,> he said.", ["Yes,", "No,"]),
        ("<Yes.> <No.>", ["Yes.", "No."]),
        ("<Yes,> said the boy, and the sergeant said, <No.>", ["Yes,", "No."]),
        ("<How odd,> thought Anne, <and how cold.>", []),
        ("<Yes,> she said, and thought: <Never.>", ["Yes,"]),
        ("<Dear Sir,--I write.>\n\n<Well?> asked Tom.", ["Well?"]),
        ("<MY DEAR SIR,\n\n<I write.\n\n<Yours, etc.>\n\n<Well?> asked Tom.", ["Well?"]),
        ("The so-called <garden> had a board, and a copy of <Emma> lay there.\n\n<Sit,> he said.", ["Sit,"]),
        ("She called it <nerves.> Nobody minded.\n\n<Sit,> he said.", ["Sit,"]),
        ("It’s the miller’s dog. She _would_ go.\n\n<It’s _mine_,> he said.", ["It’s mine,"]),
    ],
)
def test_speech_in_each_style(nb, name, template, expected):
    """The same page in four kinds of marks; apostrophes are straight where the marks are."""
    opening, closing = nb.STYLES[name]
    page = template.replace("’", "'" if "straight" in name else "’")
    text = page.replace("<", opening).replace(">", closing)
    assert [each.replace("'", "’") for each in said(nb, text, name)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "''Tis four o' clock an' the boys' books are here,' said Ned.",
            ["'Tis four o' clock an' the boys' books are here,"],
        ),
        ("'Leave 'em in the '80s, in the 'nineties even,' he said.", ["Leave 'em in the '80s, in the 'nineties even,"]),
        ("'He said \"'tis so\" and went.'", ['He said "\'tis so" and went.']),
        ("They call it 'the boys' room'. 'Sit,' he said.", ["Sit,"]),
        ("The sailors' hats hung on the captains' nails.", []),
    ],
)
def test_apostrophes_close_nothing(nb, text, expected):
    assert said(nb, text, "straight single") == expected


def test_feet_and_inches_open_nothing(nb):
    assert said(nb, 'The door was 6\' 2" high, he 6\' 4" tall.\n\n"Mind your 6\' 4" head," I said.') == [
        "Mind your 6' 4\" head,"
    ]


def test_quotes_within_quotes_within_quotes(nb):
    text = "“He said, ‘I heard her shout, “Run!” and ran.’ That is all.”"
    assert said(nb, text) == [text[1:-1]]


def test_speakers_are_read_off_the_tags(nb):
    found = nb.utterances(
        '"Yes," said Mr. Darcy.\n\n"No," her aunt replied.\n\nElinor rose and said, "Oh!"\n\n"Why?" He asked.\n\n"So."'
    )
    assert [each.speaker for each in found] == ["Mr. Darcy", "her aunt", "Elinor", "he", ""]


def test_two_people_or_perhaps_one(nb):
    assert nb.others("he", "she")
    assert nb.others("Mr. Bennet", "Mrs. Bennet")
    assert nb.others("Sir John", "she")
    assert nb.others("the old man", "the boy")
    assert not nb.others("Elinor", "she")
    assert not nb.others("the old man", "the man")
    assert not nb.others("Darcy", "Mr. Darcy")
    assert not nb.others("", "she")


def test_dialogues_part_where_nobody_answers(nb):
    one = '"A?"\n\n"B."\n\nNarration.\n\n"C?"\n\n"D," said he.\n\n'
    found = nb.dialogues(nb.utterances(one + "CHAPTER II\n\n" + one))
    assert [[each.text.strip(",") for each in talk] for talk in found] == [["A?", "B."], ["C?", "D"]] * 2
    far = '"A?" ' + "He walked on. " * 30 + '\n\n"B."'
    assert nb.dialogues(nb.utterances(far)) == []
    assert len(nb.dialogues(nb.utterances(far), narration=500)) == 1
    assert nb.dialogues([]) == []


@pytest.mark.parametrize("text", [None, 8, b'"Yes."', ['"Yes."']])
def test_a_text_is_a_string(nb, text):
    with pytest.raises(ValueError, match="A text is a string, not"):
        nb.utterances(text)


def test_an_unknown_style_lists_the_known(nb):
    with pytest.raises(ValueError, match=r"No style is called 'dashes'.*low quotes"):
        nb.utterances("'Yes.'", "dashes")


@pytest.mark.parametrize("text", ["", " \n\n", '"', "''", "No speech at all."])
def test_nothing_said(nb, text):
    assert nb.utterances(text) == []


def holds(nb, text, marks):
    """What must be true of any text: spans inside it, in order, apart, in one paragraph each, and their words."""
    found = nb.utterances(text, marks)
    spans = [span for each in found for span in each.spans]
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= begin <= end <= len(text) for begin, end in spans)
    assert all(first < second for (_, first), (second, _) in pairwise(spans))  # a mark between
    assert all(not re.search(r"\n\s*\n", text[begin:end].strip()) for begin, end in spans)
    for each in found:
        assert each.text
        assert each.text == nb.tidy(" ".join(text[begin:end] for begin, end in each.spans))
    assert sum(map(len, nb.dialogues(found))) <= len(found)


@given(text=st.text() | SHORT, marks=st.sampled_from([None, 0, 1, 2, 3, 4, 5, 6]))
def test_any_text_is_read(nb, text, marks):
    holds(nb, text, marks if marks is None else list(nb.STYLES)[marks])


@given(words=st.lists(st.from_regex(r"[A-Z][a-z]{1,8}( [a-z]{1,8}){0,3}[.!?]", fullmatch=True), min_size=1))
def test_a_page_of_plain_speech_comes_back(nb, words):
    for opening, closing in nb.STYLES.values():
        assert said(nb, "\n\n".join(f"{opening}{each}{closing[0]}" for each in words)) == words


@pytest.mark.parametrize(
    "piece", ['"', "'", "“", "‘", "’", "«", '"a ', "'a ", "a' ", '"\n\n', "“\n\n", "‘a “b ", '"a." b ', " ", "\n", "_"]
)
def test_time_grows_with_the_text_only(nb, piece):
    """100,000 marks take a fraction of a second; what looked at every pair of them would take minutes."""
    start = time.perf_counter()
    for name, marks in nb.STYLES.items():
        if marks[0] in piece or name == "straight double":
            nb.utterances(piece * 100_000, name)
    assert time.perf_counter() - start < 20


def test_passages_are_marked_with_their_own_words(nb):
    assert Counter(each["part"] for each in PASSAGES) == {"development": 50, "final": 50, "fresh": 20}
    for each in PASSAGES:
        for utterance in each["utterances"]:
            words = nb.tidy(each["text"])
            assert all(word in words for word in nb.tidy(utterance).split()), utterance


@pytest.mark.parametrize(
    ("parts", "precision", "recall"), [({"development", "final"}, 0.95, 0.95), ({"fresh"}, 0.95, 0.89)]
)
def test_marked_passages(nb, parts, precision, recall):
    right = found = marked = 0
    for each in PASSAGES:
        if each["part"] in parts:
            ours, truth = Counter(said(nb, each["text"])), Counter(map(nb.tidy, each["utterances"]))
            right, found, marked = right + (ours & truth).total(), found + ours.total(), marked + truth.total()
    assert right / found >= precision
    assert right / marked >= recall


def test_shipped_dialogues_are_what_the_notebook_makes(nb):
    lines = []
    with zipfile.ZipFile(data.path("austen")) as archive:
        for name in archive.namelist():
            for talk in nb.dialogues(nb.utterances(archive.read(name).decode())):
                lines.append(json.dumps([each.text for each in talk], ensure_ascii=False))
    assert data.path("novel-dialogue").read_text("utf8").splitlines() == lines
    assert all(len(json.loads(line)) > 1 for line in lines)
