"""The hand-written questions of chapter 6: their form; their words were checked against the corpus when written."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "data" / "06" / "questions.json"
SHARES = {"numpy": 20, "scipy": 20, "pandas": 20, "sklearn": 12, "matplotlib": 8}
OTHERS = {"bs4", "dask", "gensim", "geopandas", "jax", "joblib", "keras", "shapely"}


@pytest.fixture(scope="module")
def items():
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_a_hundred_distinct_questions_in_order(items):
    questions = [item["question"] for item in items]
    assert len(questions) == len(set(questions)) == 100
    assert questions == sorted(questions)
    assert all(set(item) == {"question", "answers"} for item in items)


def test_one_object_a_line(items):
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "[" and lines[-1] == "]"
    assert [json.loads(line.rstrip(",")) for line in lines[1:-1]] == items


def test_plain_short_english(items):
    for item in items:
        assert 4 <= len(item["question"].split()) <= 14, item["question"]
        assert re.fullmatch(r"[A-Za-z0-9 ,]+", item["question"]), item["question"]


def test_answers_are_dotted_names_without_repeats(items):
    for item in items:
        answers = item["answers"]
        assert answers and len(answers) == len(set(answers)), item["question"]
        assert all(re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name) for name in answers), item["question"]


def test_the_share_of_each_package(items):
    packages = Counter(item["answers"][0].split(".")[0] for item in items)
    assert {name: packages[name] for name in SHARES} == SHARES
    assert sum(packages[name] for name in OTHERS) == 10
    assert sum(n for name, n in packages.items() if name not in OTHERS and name not in SHARES) == 10
