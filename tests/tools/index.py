"""Make README's gallery and index, zoo/README.md and data/README.md from notebooks, list, cards and manifest.

python tests/tools/index.py
"""

import base64
import html
import re
import sys
from pathlib import Path
from urllib.parse import quote

from book import NOTEBOOKS, ROOT, code_cells, contents, find, read

sys.path.insert(0, str(NOTEBOOKS))
from cookbook import data, zoo

PICTURES = ROOT / ".github" / "pictures"
GALLERY = {  # file: notebook, a word of the alt text
    "map.png": ("03.2", "map"),
    "films.png": ("04.2", "Heat map"),
    "neuron.png": ("05.1", "coloured by neuron"),
    "search.png": ("06.1", "Bars of MRR"),
    "disagreement.png": ("07.2", "Matrix of disagreement"),
    "attention.png": ("08.4", "heat maps of attention"),
    "answers.png": ("09.1", "Nine photos"),
    "boxes.png": ("11.1", "The same eight scenes"),
    "painted.jpg": ("12.2", "An astronaut in an orange suit"),
    "digits.png": ("13.2", "A map of 13 by 13 digits"),
    "icons.png": ("14.4", "Eighty-four icons"),
}


def readme() -> str:
    """README.md with a new gallery and a new index of notebooks and recipes."""
    text = (ROOT / "README.md").read_text("utf8")
    for part, make in (("gallery", gallery), ("index", recipe_index)):
        start, end = f"<!-- {part}: made by `make index` -->\n", f"<!-- end of {part} -->"
        text = re.sub(rf"(?<={start}).*(?={end})", lambda _, make=make: make(), text, flags=re.DOTALL)
    return text


def picture(number: str, word: str) -> tuple[bytes, str]:
    """The first figure stored in a notebook whose alt text holds `word`: its PNG or JPEG and its alt text."""
    for cell in code_cells(read(find(number))):
        for output in cell.outputs:
            for kind in ("image/png", "image/jpeg"):
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                if word in alt:
                    return base64.b64decode(output.data[kind]), alt
    raise LookupError(f"Notebook {number} stores no figure whose alt text holds {word!r}.")


def gallery() -> str:
    """A picture for each entry of GALLERY, linked to its notebook."""
    return (
        "\n".join(
            f'<a href="notebooks/{quote(find(number).name)}"><img src=".github/pictures/{name}" width="420" '
            f'alt="{html.escape(picture(number, word)[1])}"></a>'
            for name, (number, word) in GALLERY.items()
        )
        + "\n"
    )


def recipe_index() -> str:
    """A line a notebook, with its recipes; those not yet built are marked so."""
    lines = [f"{len([r for rs in contents().values() for r in rs])} recipes in {len(contents())} notebooks.\n"]
    chapter = ""
    for name, recipes in contents().items():
        number, title = name.split(" ", 1)
        if number[:2] != chapter:
            chapter = number[:2]
            lines += [f"\n**Chapter {int(chapter)}**\n"]
        file = f"{name}.ipynb"
        stands = (NOTEBOOKS / file).is_file()
        lines.append(
            f"- [{number} {title}](notebooks/{quote(file)})" if stands else f"- {number} {title} *(not yet built)*"
        )
        lines += [f"  - {recipe} {recipe_title}" for recipe, recipe_title in recipes]
    return "\n".join(lines) + "\n"


def zoo_page() -> str:
    """zoo/README.md: a row a model."""
    rows = []
    for name in zoo.names():
        card = zoo.card(name)
        metrics = "; ".join(f"{key} {m['value']:.3f} ({m['baseline']:.3f})" for key, m in card["metrics"].items())
        licences = ", ".join(sorted({each["licence"] for each in card["data"]}))
        size, minutes = card["weights"]["bytes"] / 1e6, card["seconds"] / 60
        rows.append(
            f"| `{name}` | {card['title']} | {card['notebook']} | {metrics} | {size:.1f} MB | {minutes:.1f} min | {licences} |"
        )
    return (
        "# zoo\n\n"
        "The trained models, a folder each: the weights and card.json, which says what a model was trained on, how, how long, on\n"
        "what machine, and how good it is on held-out data. `cookbook.zoo.load(name)` checks the weights against the card.\n"
        "`make train NB=04.2` trains the models of a notebook anew. This page is made from the cards by `make index`.\n\n"
        "| model | what it is | notebook | held-out figure (baseline) | file | trained in | data's licence |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def data_page() -> str:
    """data/README.md: a row a data set."""
    rows = []
    for name, entry in data.manifest().items():
        sample, full = entry.get("sample"), entry.get("full")
        default = "—" if not sample else f"{sample['bytes'] / 1e6:.1f} MB, {sample['made_by'].removeprefix('pip: ')}"
        more = f"{full['bytes'] / 1e6:,.0f} MB" if full else "—"
        what = f"[{entry['title']}]({entry['home']})" if entry["home"].startswith("https:") else entry["title"]
        rows.append(f"| `{name}` | {what} | {default} | {more} | {entry['licence']} |")
    return (
        "# data\n\n"
        "What the notebooks run on by default: small real samples, shipped here or inside a pinned package. `cookbook.data.path(name)`\n"
        "gives the file and checks its hash; with `full=True` it takes the whole data set from the folder `COOKBOOK_MIRROR` or from\n"
        "its home. manifest.json holds licences, citations, hashes, and how each sample was made. This page is made from it by\n"
        "`make index`.\n\n"
        "| name | what it is | by default | full | licence |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


PAGES = {ROOT / "README.md": readme, ROOT / "zoo" / "README.md": zoo_page, ROOT / "data" / "README.md": data_page}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, where in GALLERY.items():
        (PICTURES / name).write_bytes(picture(*where)[0])
    for path, make in PAGES.items():
        Path(path).write_text(make(), "utf8")


if __name__ == "__main__":
    main()
