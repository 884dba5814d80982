"""Questions and answers from the docstrings of installed packages, in the form of Stack Exchange's.

A docstring's summary is the question's title, and the rest of it the answer. The source is read and
parsed, never imported, so that it does not matter what a package needs in order to run.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from cookbook import data, paths
from cookbook.sources.stackexchange import COLUMNS

PYTHON = "python"  # the standard library, from data/, so that it is the same under every Python
PACKAGES = (
    PYTHON,
    "numpy",
    "scipy",
    "pandas",
    "sklearn",
    "matplotlib",
    "gensim",
    "dask",
    "geopandas",
    "shapely",
    "jax",
    "keras",
    "joblib",
    "requests",
    "bs4",
)
DISTRIBUTIONS = {"sklearn": "scikit-learn", "bs4": "beautifulsoup4"}  # where the name is another than the package's
RULES = 1  # what follows: another number makes every cached corpus anew
NOT_READ = {"tests", "testing", "test", "conftest", "externals"}  # tests, and other packages' copies
DROPPED = {"example", "examples", "reference", "references", "see also"}
CODE = {"code", "code-block", "deprecated", "doctest", "figure", "image", "index", "ipython", "math", "plot"}
CODE |= {"only", "testcode", "testoutput", "toctree", "versionadded", "versionchanged", "currentmodule"}
UNDERLINE = re.compile(r"\s*[-=~^]{3,}\s*")
TEMPLATE = re.compile(r"^\W*\{|%\([^)]*\)s")
TITLE_WORDS, ANSWER_WORDS = range(4, 41), 20


class DocstringError(RuntimeError):
    """A package that is not there or has no source. The message is one clear sentence."""


@dataclass(frozen=True)
class Pair:
    """A docstring: where it is, its summary, the rest, and the last names of what it says to see also."""

    id: str
    title: str
    answer: str
    tags: str
    see: frozenset[str]


def corpus(packages: tuple[str, ...] = PACKAGES) -> pd.DataFrame:
    """The docstrings of these packages as pairs of question and answer: see stackexchange.COLUMNS.

    packages: as they are imported; "python" is the standard library. id is the dotted name, without the
    private parts of its module; score is how many other docstrings say to see it also. The table is sorted
    by id, and kept in generated/docstrings for these versions of the packages; .attrs["skipped"] says how
    many files could not be parsed.

    Raises DocstringError where a package is not installed, or has no Python source.
    """
    packages = tuple(sorted(set(packages)))
    known = json.dumps([RULES, *((package, version(package)) for package in packages)])
    file = paths.generated("docstrings", f"{hashlib.sha256(known.encode()).hexdigest()[:16]}.parquet")
    if not file.is_file():
        part = file.with_name(file.name + ".part")
        _build(packages).to_parquet(part, index=False)
        part.replace(file)
    return pd.read_parquet(file)


def version(package: str) -> str:
    """The version of an installed package; for the standard library, the hash of the sample in data/.

    Raises DocstringError where it is not installed.
    """
    if package == PYTHON:
        return data.describe("python-library")["sample"]["hash"]
    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(package, package))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise DocstringError(
            f"No package {package!r} is installed. Take one of {', '.join(PACKAGES)}, or install it."
        ) from None


def sources(package: str) -> Iterator[tuple[str, bytes]]:
    """The modules of a package, in order: the dotted name, and the bytes of its source.

    Raises DocstringError where there is no Python source.
    """
    files = _library() if package == PYTHON else _installed(package)
    for name, read in sorted(files.items()):
        parts = name.removesuffix(".py").split("/")
        if not NOT_READ & set(parts):
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), read()


def parsed(source: bytes) -> ast.Module | None:
    """The syntax tree of a module; None where it cannot be parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's escapes, in other Pythons' opinion
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return None


def pairs(package: str, module: str, tree: ast.Module) -> Iterator[Pair]:
    """The docstrings of a module's public functions, classes and methods, as far as they make a pair."""
    parts = module.split(".")
    public = [part for part in parts if not part.startswith("_")]
    last = parts[-1].strip("_")
    tags = package if last == package else f"{package} {last}"
    for names, text in _docstrings(tree):
        if pair := _pair(".".join([*public, *names]), tags, text):
            yield pair


def _build(packages: tuple[str, ...]) -> pd.DataFrame:
    """The corpus, without a cache."""
    modules = [(package, *source) for package in packages for source in sources(package)]
    found, skipped = [], 0
    for package, module, source in tqdm(modules, desc="docstrings", unit="file"):
        if tree := parsed(source):
            found += pairs(package, module, tree)
        else:
            skipped += 1
    kept = _without_duplicates(sorted(found, key=lambda pair: pair.id))
    seen = Counter(name for pair in kept for name in pair.see)
    table = [(p.id, p.title, p.answer, p.tags, _score(p, seen)) for p in kept]
    frame = pd.DataFrame(table, columns=COLUMNS).astype({"score": "int64"})
    frame.attrs["skipped"] = skipped
    return frame


def _score(pair: Pair, seen: Counter) -> int:
    """How many docstrings say to see this one also, without itself."""
    name = pair.id.rpartition(".")[2]
    return seen[name] - (name in pair.see)


def _without_duplicates(found: list[Pair]) -> list[Pair]:
    """The pairs whose id, title and answer are all new."""
    kept, ids, titles, answers = [], set(), set(), set()
    for pair in found:
        title, answer = pair.title.casefold(), pair.answer.casefold()
        if pair.id not in ids and title not in titles and answer not in answers:
            kept.append(pair)
            ids.add(pair.id)
            titles.add(title)
            answers.add(answer)
    return kept


def _library() -> dict[str, Callable[[], bytes]]:
    """The standard library: what reads each file, by its name."""
    archive = zipfile.ZipFile(io.BytesIO(data.path("python-library").read_bytes()))
    return {name: partial(archive.read, name) for name in archive.namelist() if name.endswith(".py")}


def _installed(package: str) -> dict[str, Callable[[], bytes]]:
    """An installed package: what reads each file, by its name. Finding a package does not import it."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    files = {
        f"{package}/{file.relative_to(folder).as_posix()}": file.read_bytes
        for folder in folders
        for file in folder.rglob("*.py")
    }
    if spec and spec.origin and spec.origin.endswith(".py") and not folders:
        files = {f"{package}.py": Path(spec.origin).read_bytes}
    if not files:
        raise DocstringError(f"The package {package!r} has no Python source here: it is not installed, or compiled.")
    return files


def _docstrings(node: ast.AST, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The docstrings of the public functions and classes of a module or class, and of their methods."""
    for child in getattr(node, "body", []):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        if text := ast.get_docstring(child):
            yield (*names, child.name), text
        if isinstance(child, ast.ClassDef):
            yield from _docstrings(child, (*names, child.name))


def _pair(name: str, tags: str, docstring: str) -> Pair | None:
    """A docstring as a pair; None where it is a template, or too short or too long for one."""
    summary, _, rest = docstring.strip().partition("\n\n")
    title = _plain(summary)
    if TEMPLATE.search(docstring) or re.search(r"\{\w*\}", title) or summary.startswith((">>>", "..")):
        return None
    sections = list(_sections(rest))
    kept = (lines for heading, lines in sections if heading.lower() not in DROPPED)
    answer = _plain("\n".join(line for lines in kept for line in _prose(lines)))
    repeated = answer.casefold().startswith(title.casefold())
    words = len((answer[len(title) :] if repeated else answer).split())
    if len(title.split()) not in TITLE_WORDS or words < ANSWER_WORDS:
        return None
    see = (each for heading, lines in sections if heading.lower() == "see also" for each in _names(lines))
    return Pair(name, title, answer, tags, frozenset(see))


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """The parts of a docstring, each with its heading ("" for the first), in the style of NumPy or of Google."""
    heading, lines, raw = "", [], text.splitlines()
    for line, following in zip_longest(raw, raw[1:], fillvalue=""):
        marked = re.fullmatch(r"\.\. rubric:: *(.+)|([A-Z][A-Za-z ]{2,30}):", line)
        if UNDERLINE.fullmatch(following) and line.strip():
            yield heading, lines
            heading, lines = line.strip(), []
        elif marked:
            yield heading, lines
            heading, lines = marked[1] or marked[2], []
        elif not UNDERLINE.fullmatch(line):
            lines.append(line)
    yield heading, lines


def _prose(lines: list[str]) -> Iterator[str]:
    """The lines without code: doctests, fenced blocks, directives whose content is no prose."""
    fenced, doctest, inside = False, False, None
    for line in lines:
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        if stripped.startswith("```"):
            fenced = not fenced
            continue
        if inside is not None and stripped and indent <= inside:
            inside = None
        doctest = bool(stripped) and (doctest or stripped.startswith(">>>"))
        if fenced or doctest or inside is not None:
            continue
        directive = re.match(r"\.\. ([\w:-]+)::(.*)", stripped)
        if directive and directive[1] in CODE:
            inside = indent
        elif directive:
            yield directive[2]
        elif not stripped.startswith(".. "):  # a comment, a target, a reference
            yield line


def _plain(text: str) -> str:
    """Text in one line, without the marks of reStructuredText."""
    text = re.sub(r":[\w:+-]+:`[~!]?([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)  # roles
    text = re.sub(r"`([^`<]+?)\s*<[^`>]*>`_*", r"\1", text)  # links
    text = re.sub(r"\s?\[[#\w]+\]_", "", text)  # references
    text = re.sub(r"`+([^`]*)`+_*", r"\1", text)
    text = re.sub(r"(?<!\w)\*\*(\S(?:[^*]*\S)?)\*\*(?!\w)", r"\1", text)
    text = re.sub(r"(?<![\w*])\*(\w+)\*(?![\w*])", r"\1", text)
    return " ".join(re.sub(r"::(?=\s|$)", ":", text).split())


def _names(lines: list[str]) -> Iterator[str]:
    """The last parts of the names that a section "See Also" begins its lines with."""
    for line in lines:
        if line[:1].isspace():
            continue
        for name in _plain(line).split(":")[0].split(","):
            if re.fullmatch(r"[A-Za-z_][\w.]*", name.strip()):
                yield name.strip().rpartition(".")[2]
