"""The corpus of docstrings: packages made here, which must be read without being imported."""

import itertools
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.sources import docstrings
from cookbook.sources.docstrings import DocstringError, corpus
from cookbook.sources.stackexchange import COLUMNS

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
counter = itertools.count()


def long(word: str) -> str:
    """An answer of some 20 words that is like no other."""
    return f"{word} " + " ".join(WORDS) + " and so on, always on, until the very last end."


def function(name: str, title: str, body: str, indent: str = "") -> str:
    text = "\n".join(indent + "    " + line if line else "" for line in f'"""{title}\n\n{body}\n"""'.splitlines())
    return f"{indent}def {name}(self):\n{text}\n\n"


NUMPY_STYLE = f"""
See also :func:`~numpy.mean`, ``b`` and `the guide <https://a.b/c>`_ [1]_, **bold** words::

    a = b

{long("body")}

.. math:: x = 1

    y = 2

.. note:: Noted.
   And more.

Parameters
----------
x : int
    The first.

See Also
--------
wide : The other.
fake.Thing.method, other.unknown
    Some text here.

Examples
--------
>>> hidden(1)
hidden output

Hidden too.

Notes
-----
Shown.

>>> code
output

References
----------
.. [1] Hidden.
""".strip()

GOOGLE_STYLE = f"""
{long("google")}

Example:

```python
hidden()
```

Args:
    x: The argument.

References:
    - hidden
""".strip()

FILES = {
    "__init__.py": f'raise RuntimeError("imported")\n{function("top", "At the top of it.", long("top"))}',
    "_private.py": function("wide", "A function in a private module.", NUMPY_STYLE)
    + function("_hidden", "A function that is hidden.", long("hidden")),
    "thing.py": f'class Thing:\n    """A class that has methods.\n\n    {long("class")}\n    """\n\n'
    + function("method", "Joined from\ntwo lines here.", GOOGLE_STYLE, "    ")
    + function("__init__", "Not a public name here.", long("init"), "    ")
    + f"class _Hidden:\n{function('method', 'In a hidden class.', long('inner'), '    ')}",
    "sub/__init__.py": "",
    "sub/more.py": function("short", "Too short", long("short"))
    + function("brief", "The answer is too short.", "Only this.")
    + function("wordy", " ".join(["word"] * 41), long("wordy"))
    + function("filled", "Filled in by a decorator.", "%(doc)s " + long("filled"))
    + function("named", "Return the {name} of it.", long("named"))
    + function("begun", "{klass} is what it is.", long("begun"))
    + function("repeats", "It says all of this again.", "It says all of this again. " * 2)
    + function("seen", "It says what to see.", long("seen") + "\n\nSee Also\n--------\nwide\nseen : itself\n")
    + "def bare():\n    pass\n",
    "zzz.py": function("zoom", "A function in a private module.", long("copied title"))
    + function("zero", "At the top of it, again.", long("top")),
    "broken.py": "def broken(:\n",
    "null.py": "x = '\0'\n",
    "tests/test_it.py": function("tested", "A function in a test.", long("test")),
    "conftest.py": function("fixture", "A function in a conftest.", long("conftest")),
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """The name of a package that can be found, with a version."""
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "generated"))
    monkeypatch.syspath_prepend(tmp_path)
    name = f"fake_package_{next(counter)}"
    write(tmp_path, name, FILES)
    latin = function("latin", "Written in another encoding: ü.", long("latin"))
    (tmp_path / name / "latin.py").write_bytes(b"# coding: latin-1\n" + latin.encode("latin-1"))
    (tmp_path / name / "wrong.py").write_bytes(latin.encode("latin-1"))
    yield name
    assert name not in sys.modules


def write(folder: Path, name: str, files: dict[str, str], version: str = "1.0") -> None:
    for file, source in files.items():
        target = folder / name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source, "utf8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def one(docstring: str) -> docstrings.Pair | None:
    return docstrings._pair("fake.module.name", "fake module", docstring)


def test_what_is_found(package):
    table = corpus((package,))
    assert list(table.columns) == COLUMNS
    assert [name.removeprefix(package) for name in table["id"]] == [
        ".latin.latin",
        ".sub.more.seen",
        ".thing.Thing",
        ".thing.Thing.method",
        ".top",
        ".wide",
    ]
    assert table.attrs["skipped"] == 3
    rows = table.set_index(table["id"].str.removeprefix(package))
    assert rows["title"][".thing.Thing.method"] == "Joined from two lines here."
    assert rows["title"][".latin.latin"] == "Written in another encoding: ü."
    assert rows["tags"].to_dict() == {
        ".latin.latin": f"{package} latin",
        ".sub.more.seen": f"{package} more",
        ".thing.Thing": f"{package} thing",
        ".thing.Thing.method": f"{package} thing",
        ".top": package,
        ".wide": f"{package} private",
    }
    assert rows["score"].to_dict() == {
        ".latin.latin": 0,
        ".sub.more.seen": 0,
        ".thing.Thing": 0,
        ".thing.Thing.method": 1,
        ".top": 0,
        ".wide": 1,
    }


def test_answers_are_plain_text():
    pair = one("A function in a module.\n\n" + NUMPY_STYLE)
    assert pair.answer == (
        f"See also numpy.mean, b and the guide, bold words: a = b {long('body')} "
        "Noted. And more. x : int The first. Shown."
    )
    assert pair.see == {"wide", "method", "unknown"}
    assert one("A function in Google's style.\n\n" + GOOGLE_STYLE).answer == f"{long('google')} x: The argument."


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Only a title of six words",
        ">>> this begins with a doctest\n\n" + long("a"),
        ".. note:: this begins with a directive\n\n" + long("a"),
        "{0} begins with a template.\n\n" + long("a"),
        "Filled in somewhere else later.\n\n" + long("a") + "%(Artist:kwdoc)s",
        "The answer repeats the title.\n\nThe answer repeats the title. And little more.",
    ],
)
def test_what_is_no_pair(docstring):
    assert one(docstring) is None


@given(
    st.lists(st.sampled_from(["\n", "\n\n", "    ", "Examples", "---", ">>> ", "```", ".. note::", "`", ":a:`", "x "]))
)
def test_no_docstring_stops_it(pieces):
    pair = one("A title of five words.\n\n" + "".join(pieces) + "\n\n" + long("a"))
    assert pair is None or pair.answer


def test_second_time_from_the_cache(package, monkeypatch):
    first = corpus((package,))
    monkeypatch.setattr(docstrings, "sources", None)
    pd.testing.assert_frame_equal(corpus((package, package)), first)
    monkeypatch.setattr(docstrings, "RULES", docstrings.RULES + 1)
    with pytest.raises(TypeError):
        corpus((package,))


def test_another_version_is_read_anew(package, tmp_path):
    assert len(corpus((package,))) == 6
    (tmp_path / package / "thing.py").unlink()
    assert len(corpus((package,))) == 6
    (tmp_path / f"{package}-1.0.dist-info" / "METADATA").write_text(f"Name: {package}\nVersion: 1.1\n")
    assert len(corpus((package,))) == 4


def test_order_of_files_does_not_matter(package, tmp_path, monkeypatch):
    first = corpus((package,))
    plain = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: sorted(plain(self, pattern), reverse=True))
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "another"))
    pd.testing.assert_frame_equal(corpus((package,)), first)


def test_nothing_half_written(package, tmp_path, monkeypatch):
    def fails(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(docstrings, "pairs", fails)
    with pytest.raises(KeyboardInterrupt):
        corpus((package,))
    assert not list((tmp_path / "generated" / "docstrings").iterdir())


def test_standard_library_is_the_shipped_one():
    modules = dict(docstrings.sources("python"))
    assert len(modules) > 300
    assert "json" in modules
    (found,) = (
        pair
        for pair in docstrings.pairs("python", "json.decoder", docstrings.parsed(modules["json.decoder"]))
        if pair.id == "json.decoder.JSONDecoder.raw_decode"
    )
    assert found.tags == "python decoder"
    assert found.title.startswith("Decode a JSON document from")


@pytest.mark.parametrize("name", ["no_such_package", "", "os.path", "a b"])
def test_unknown_package(name):
    with pytest.raises(DocstringError, match=r"^No package '.*' is installed\. Take one of python, numpy, "):
        corpus((name,))


def test_package_without_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "compiled_only", {"module.so": ""})
    with pytest.raises(DocstringError, match=r"^The package 'compiled_only' has no Python source here"):
        corpus(("compiled_only",))


def test_default_packages_are_in_the_lock():
    lock = (Path(__file__).parents[1] / "requirements.txt").read_text("utf8")
    for package in docstrings.PACKAGES[1:]:
        assert f"\n{docstrings.DISTRIBUTIONS.get(package, package)}==" in lock
