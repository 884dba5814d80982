"""Wikidata and Wikimedia Commons: pictures of things of a kind, each with its maker and its licence.

    Wikidata().collect({"Q146": "cat", "Q144": "dog"}, folder, per_class=100)

The folder then holds NUMBER.jpg (or .png, .gif) for each picture, and pictures.ndjson with a line each: see COLUMNS.
The same call again goes on where the last one stopped, whether that one ended, failed or was interrupted.

How it works: the query service (query.wikidata.org, SPARQL) names items of a class that have a picture (property P18);
Commons' API (prop=imageinfo) says where a thumbnail is, who made the picture and under which licence it is; `gallery`
fetches the thumbnails and keeps those that can be read. Of an item it is the first picture.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import requests
from bs4 import BeautifulSoup
from tqdm.auto import tqdm

from cookbook import data
from cookbook.sources import gallery, polite

QUERY_SERVICE = "https://query.wikidata.org/sparql"
COMMONS = "https://commons.wikimedia.org/w/api.php"
PICTURES = "upload.wikimedia.org"  # where all thumbnails are
WIDTHS = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)  # mediawiki.org/wiki/Common_thumbnail_sizes
PAGE = 500  # items a query
TITLES = 20  # files a question to Commons; it takes 50, but their names must fit into an address
BUSY = {"maxlag", "ratelimited", "readonly"}  # errors of Commons' API that pass
ABOUT = ("LicenseShortName", "LicenseUrl", "Artist", "Credit")
COLUMNS = ["id", "file", "width", "height", "label", "kind", "kind_label", "artist", "credit", "licence"]
COLUMNS += ["licence_url", "page"]

QUERY = """SELECT ?item ?itemLabel ?image WHERE {{
  {{ SELECT ?item ?image WHERE {{ ?item wdt:P31/wdt:P279* wd:{kind}; wdt:P18 ?image. }} {order}
     LIMIT {limit} OFFSET {offset} }}
  SERVICE wikibase:label {{ bd:serviceParam wikibase:language "{language},mul". }}
}} {order}"""


class WikidataError(RuntimeError):
    """A question that cannot be asked, or that got no good answer. The message is one clear sentence, or two."""


class TooLongError(WikidataError):
    """The query service gave up: a query has 60 seconds."""


@dataclass(frozen=True)
class Item:
    """An item with a picture. id: such as "Q146". title: the name of its file on Commons."""

    id: str
    label: str
    title: str


@dataclass(frozen=True)
class Picture:
    """A picture on Commons. url: of its thumbnail. page: where it is shown, which a credit should link to."""

    url: str
    page: str
    artist: str
    credit: str
    licence: str
    licence_url: str


@dataclass(frozen=True)
class Collected:
    """What came of a collection. pictures: all that the folder holds, as `pictures(folder)` gives them. fetched: how
    many are new. refused: what was not taken, with the columns id, label and reason."""

    pictures: pd.DataFrame
    fetched: int
    refused: pd.DataFrame


class Wikidata:
    """A polite visitor of Wikidata and Commons."""

    def __init__(
        self,
        home: str = QUERY_SERVICE,
        commons: str = COMMONS,
        *,
        language: str = "en",
        pause: float = 1.0,
        picture_pause: float = 0.2,
        retries: int = 5,
        timeout: float = 70,
    ):
        """home, commons: the addresses of the query service and of Commons' API. language: of the labels.

        pause: the least time between two questions, in seconds. picture_pause: the mean time between two pictures,
        all threads together. retries: how often what failed is tried again, with growing pauses or after the
        server's Retry-After. timeout: in seconds, for each piece of an answer; a query has 60.

        Wikimedia asks programs to say whom to write to: put an address into the environment variable
        COOKBOOK_CONTACT, and it is sent along.

        Raises ValueError where `language` can be none.
        """
        if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{1,8})*", language):
            raise ValueError(f"{language!r} is no code of a language; those are such as en, de or pt-br.")
        self.home, self.commons, self.language = home, commons, language
        self.pause, self.picture_pause, self.retries, self.timeout = pause, picture_pause, retries, timeout
        self.session = polite.session(pause=pause, retries=retries, timeout=timeout)
        for adapter in self.session.adapters.values():  # 500 is a query that took too long: do not ask it five times
            adapter.max_retries = adapter.max_retries.new(status_forcelist=(429, 502, 503, 504))
        if contact := os.environ.get("COOKBOOK_CONTACT", "").strip():
            self.session.headers["User-Agent"] = f"{data.USER_AGENT} {contact}"

    def items(self, kind: str, count: int) -> Iterator[Item]:
        """At most `count` items of the class `kind` or its subclasses that have a picture, page by page.

        kind: the number of a class, such as "Q146" for cats; wikidata.org finds it by name.

        Raises ValueError for what is no such number, and for a count below 1; TooLongError where a query takes the
        service too long, and WikidataError where there is no good answer, while you iterate.
        """
        check_number(kind)
        if count < 1:
            raise ValueError(f"Ask for at least 1 item, not {count}.")
        page = min(PAGE, 4 * count)  # an item has a row for each of its pictures
        # Pages must not shift, so they are sorted; but to sort a large class takes too long for a few items.
        order = "ORDER BY ?item ?image" if count > PAGE // 4 else ""
        seen: set[str] = set()
        offset = 0
        while True:
            query = QUERY.format(kind=kind, order=order, limit=page, offset=offset, language=self.language)
            rows = self._rows(query)
            for item in filter(None, map(_item, rows)):
                if item.id not in seen:
                    seen.add(item.id)
                    yield item
                    if len(seen) == count:
                        return
            if len(rows) < page:
                return
            offset += page

    def about(self, titles: Sequence[str], width: int = 330) -> dict[str, Picture | str]:
        """What Commons knows about files: a Picture each, or the reason why there is none.

        width: of the thumbnails, one of WIDTHS, which Commons keeps ready.

        Raises ValueError for another width, and WikidataError where there is no good answer.
        """
        if width not in WIDTHS:
            raise ValueError(f"Commons makes thumbnails of the widths {', '.join(map(str, WIDTHS))}; not {width}.")
        found: dict[str, Picture | str] = {}
        for start in range(0, len(titles), TITLES):
            found |= self._about(titles[start : start + TITLES], width)
        return found

    def collect(
        self,
        classes: Mapping[str, str] | Iterable[str],
        folder: Path | str,
        *,
        per_class: int = 5,
        width: int = 330,
        threads: int = 3,
        bar: bool = True,
    ) -> Collected:
        """Fetch pictures of `per_class` items of each class into `folder`; those that are there are not fetched again.

        classes: their numbers, or {number: your name for it}. threads: how many fetch at once. bar: show the
        progress. What is gone, cut, broken, too large, no picture or without a licence is listed with the reason, and
        so is a class that takes the query service too long; the rest goes on. Ctrl-C loses nothing that was written.

        Raises what `items` and `about` raise, but TooLongError; ValueError for fewer than 1 thread.
        """
        names = dict(classes) if isinstance(classes, Mapping) else dict.fromkeys(classes, "")
        for kind in names:
            check_number(kind)
        if threads < 1:
            raise ValueError(f"There must be at least 1 thread, not {threads}.")
        kept, fetched, refused = gallery.Gallery(folder), 0, []
        with tqdm(total=len(names) * per_class, unit="picture", disable=not bar) as progress:
            for kind, name in names.items():
                progress.set_description(name or kind)
                try:
                    found = list(self.items(kind, per_class))
                except TooLongError as error:
                    refused.append((kind, name, str(error)))
                    continue
                fresh = {item.id: item for item in found if item.id not in kept.known}
                progress.update(len(found) - len(fresh))
                about = self.about([item.title for item in fresh.values()], width)
                wanted = []
                for item in fresh.values():
                    picture = about[item.title]
                    if isinstance(picture, str):
                        refused.append((item.id, item.label, picture))
                        progress.update()
                    else:
                        line = {"id": item.id, "label": item.label, "kind": kind, "kind_label": name} | asdict(picture)
                        wanted.append((line, line.pop("url")))
                for line, content in self._fetched(wanted, threads):
                    reason = kept.add(line, content) if isinstance(content, bytes) else content
                    fetched += not reason
                    if reason:
                        refused.append((line["id"], line["label"], reason))
                    progress.update()
        return Collected(pictures(folder), fetched, pd.DataFrame(refused, columns=["id", "label", "reason"]))

    def _rows(self, query: str) -> list[dict]:
        """The rows of a query's answer (w3.org/TR/sparql11-results-json)."""
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(60, self.pause * 2**attempt))
            try:
                answer = self.session.get(
                    self.home,
                    params={"query": query, "format": "json"},
                    headers={"Accept": "application/sparql-results+json"},
                )
            except requests.exceptions.ChunkedEncodingError:
                problem = "it broke off"
                continue
            except requests.RequestException as error:
                problem = gallery.why(error)
                break  # the session has tried again already
            # Where time runs out in the middle of an answer, its status was sent long ago: 200.
            if "TimeoutException" in answer.text[-100_000:]:
                raise TooLongError(
                    "The query service ran out of time (60 seconds). Take a narrower class, or fewer items of it."
                )
            problem = f"the server answers {answer.status_code}"
            if answer.status_code == requests.codes.ok:
                try:
                    return list(answer.json()["results"]["bindings"])
                except (ValueError, KeyError, TypeError):
                    problem = "what came is not the JSON of an answer"
            elif answer.status_code < 500:
                break
        raise WikidataError(f"The query service gave no good answer: {problem}. Try again later.")

    def _about(self, titles: Sequence[str], width: int) -> dict[str, Picture | str]:
        """What `about` gives, for as many titles as go into one question."""
        question = {
            "action": "query",
            "format": "json",
            "formatversion": 2,
            "prop": "imageinfo",
            "titles": "|".join(f"File:{title}" for title in titles),
            "iiprop": "url|mime|extmetadata",
            "iiurlwidth": width,
            "iiextmetadatafilter": "|".join(ABOUT),
            "iiextmetadatalanguage": self.language,
        }
        names, found, more = {}, {}, {}
        while True:
            answer = self._ask(question | more)
            try:
                names |= {each["from"]: each["to"] for each in answer["query"].get("normalized", [])}
                for page in answer["query"].get("pages", []):
                    if page.get("imageinfo") or page["title"] not in found:
                        found[page["title"]] = _picture(page)
                further = answer.get("continue")
            except (KeyError, TypeError, AttributeError, IndexError):
                raise WikidataError("Commons' answer is not of the form that it has had so far.") from None
            if not further or further == more:
                break
            more = further
        return {
            title: found.get(names.get(f"File:{title}", f"File:{title}"), "Commons does not know it.")
            for title in titles
        }

    def _ask(self, question: dict) -> dict:
        """An answer of Commons' API."""
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(60, self.pause * 2**attempt))
            try:
                answer = self.session.get(self.commons, params=question)
                answer.raise_for_status()
                found = answer.json()
            except requests.JSONDecodeError:
                problem = "what came is not JSON"
                continue
            except requests.exceptions.ChunkedEncodingError:
                problem = "it broke off"
                continue
            except requests.RequestException as error:
                problem = gallery.why(error)
                break
            error = found.get("error") if isinstance(found, dict) else {"info": "what came is no object"}
            if not error:
                return found
            problem = f"{error.get('info', 'no reason given')}"[:200] if isinstance(error, dict) else str(error)[:200]
            if not isinstance(error, dict) or error.get("code") not in BUSY:
                break
        raise WikidataError(f"Commons gave no good answer: {problem}. Try again later.")

    def _fetched(self, wanted: list[tuple[dict, str]], threads: int) -> Iterator[tuple[dict, bytes | str]]:
        own = urlsplit(self.commons)

        def allowed(url: str) -> bool:
            there = urlsplit(url)
            ours = (there.scheme, there.netloc) == (own.scheme, own.netloc)  # for a local server
            return ours or (there.scheme, there.hostname) == ("https", PICTURES)

        options = {"pause": self.picture_pause, "retries": self.retries, "timeout": self.timeout}
        agent = self.session.headers["User-Agent"]
        return gallery.fetch(wanted, allowed=allowed, agent=agent, threads=threads, **options)


def check_number(kind: str) -> None:
    """Raise ValueError where `kind` is no number of an item, such as "Q146": it goes into a query, and into names."""
    if not isinstance(kind, str) or not re.fullmatch(r"Q[1-9][0-9]{0,11}", kind):
        raise ValueError(f"{kind!r} is no number of Wikidata; those are such as Q146. Look for it on www.wikidata.org.")


def pictures(folder: Path | str) -> pd.DataFrame:
    """What a folder of `collect` holds, a row each; the columns are COLUMNS.

    Raises cookbook.sources.gallery.GalleryError where nothing was collected there.
    """
    return pd.DataFrame(gallery.lines(folder), columns=COLUMNS)


def credit(picture: pd.Series) -> str:
    """What to write beside a picture, from a row of `pictures`: its label, maker, licence and page."""
    return f"“{picture.label}” by {picture.artist or picture.credit or 'unknown'}, {picture.licence}, {picture.page}"


def _item(row: object) -> Item | None:
    """The item of a row; None for one without a proper number or file (a picture may be "unknown")."""
    try:
        number = row["item"]["value"].rpartition("/")[2]
        label = row.get("itemLabel", {}).get("value", number)
        _, found, title = row["image"]["value"].rpartition("Special:FilePath/")
    except (KeyError, TypeError, AttributeError):
        return None
    title = unquote(title).replace("_", " ").strip()
    if not found or not re.fullmatch(r"Q[1-9][0-9]{0,11}", number) or not re.fullmatch(r"[^|#<>\[\]{}\n]+", title):
        return None
    return Item(number, " ".join(str(label).split()), title)


def _picture(page: dict) -> Picture | str:
    """The picture of a page of Commons' answer, or the reason why there is none."""
    if page.get("missing") or page.get("invalid"):
        return "Commons does not have it."
    if not page.get("imageinfo"):
        return "Commons says nothing about it."
    info = page["imageinfo"][0]
    url = info.get("thumburl") or ""
    if not url:
        return f"Commons makes no thumbnail of it ({info.get('mime', 'unknown kind')})."
    facts = {each: _text(info.get("extmetadata", {}).get(each, {}).get("value", "")) for each in ABOUT}
    if not facts["LicenseShortName"]:
        return "Its page names no licence."
    return Picture(
        url=url,
        page=info.get("descriptionurl", ""),
        artist=facts["Artist"],
        credit=facts["Credit"],
        licence=facts["LicenseShortName"],
        licence_url=facts["LicenseUrl"],
    )


def _text(html: object) -> str:
    """The text of a piece of HTML, in one line."""
    soup = BeautifulSoup(f"<p>{html}", "html.parser")
    for hidden in soup.select('[style*="display: none"], [style*="display:none"]'):  # for machines: says it twice
        hidden.extract()
    return " ".join(soup.get_text(" ").split())
