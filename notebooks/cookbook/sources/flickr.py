"""Flickr: search photos by words and licence, fetch them politely, and keep with each what its licence asks for.

    found = Flickr().collect("cat", folder, count=500)  # the key is read from FLICKR_KEY

The folder then holds NUMBER.jpg for each photo, and pictures.ndjson with a line each: title, owner, licence, page. The
same call again goes on where the last one stopped, whether that one ended, failed or was interrupted.

How it works: `search` asks the API page by page (flickr.com/services/api/flickr.photos.search.html); `gallery` fetches
the pictures with a few threads, and keeps those that can be read.
"""

import itertools
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import requests
from tqdm.auto import tqdm

from cookbook.sources import gallery, polite

HOME = "https://api.flickr.com/services/rest/"
PICTURES = ".staticflickr.com"  # where all pictures are
SIZES = {"q": 150, "t": 100, "s": 240, "n": 320, "w": 400, "m": 500, "z": 640, "c": 800, "l": 1024}  # longer side
PAGE = 500  # photos a page, the most that Flickr gives; after 4,000 it repeats itself
WRONG_KEY = 100
BUSY = {0, 10, 105, 106}  # codes of failures that may pass
COLUMNS = ["id", "file", "width", "height", "title", "owner", "licence", "licence_url", "page", "url"]

# Licences that let one use a photo, change it and pass it on, also for money, if one says whose it is.
OPEN = (
    *(f"CC {kind} {version}" for version in ("4.0", "2.0") for kind in ("BY", "BY-SA")),
    *("CC0 1.0", "Public Domain Mark 1.0", "United States Government Work"),
)


class FlickrError(RuntimeError):
    """There is no key, or no good answer. The message is one clear sentence, or two."""


@dataclass(frozen=True)
class Photo:
    """A photo as the search finds it. page: where it is shown, which a credit must link to. url: "" if it does not
    come in any of the sizes that were asked for."""

    id: str
    title: str
    owner: str
    licence: str
    licence_url: str
    page: str
    url: str


@dataclass(frozen=True)
class Collected:
    """What came of a collection. photos: all that the folder holds, as `photos(folder)` gives them. fetched: how many
    are new. refused: those that were not taken, with the columns id, reason and page."""

    photos: pd.DataFrame
    fetched: int
    refused: pd.DataFrame


class Flickr:
    """A polite visitor of Flickr."""

    def __init__(
        self,
        key: str | None = None,
        *,
        home: str = HOME,
        pause: float = 1.0,
        picture_pause: float = 0.2,
        retries: int = 5,
        timeout: float = 30,
    ):
        """key: by default what FLICKR_KEY holds. home: the address of the API.

        pause: the least time between two questions to the API, in seconds: a key has 3,600 an hour. picture_pause: the
        mean time between two pictures, all threads together, at the least. retries: how often what failed is tried
        again, with growing pauses or after the server's Retry-After. timeout: in seconds, for each piece of an answer.

        Raises FlickrError where there is no key, or what is there cannot be one.
        """
        self.key, self.home = _key(key), home
        self.pause, self.picture_pause, self.retries, self.timeout = pause, picture_pause, retries, timeout
        self.session = polite.session(pause=pause, retries=retries, timeout=timeout)

    @cached_property
    def licences(self) -> dict[str, tuple[str, str]]:
        """The licences as Flickr lists them now: {number: (name, address)}. Creative Commons' go by their short names.

        Raises FlickrError where there is no good answer.
        """
        answer = self._ask("flickr.photos.licenses.getInfo")
        try:
            listed = [(str(each["id"]), each["name"], each["url"]) for each in answer["licenses"]["license"]]
        except (KeyError, TypeError):
            raise FlickrError("Flickr's list of licences is not of the form that it has had so far.") from None
        return {number: (_short(name, url), url) for number, name, url in listed}

    def search(
        self, text: str, *, licences: Collection[str] | None = None, sizes: Sequence[str] = ("q",)
    ) -> Iterator[Photo]:
        """The photos that Flickr finds for a text, the most relevant first, page by page to the end.

        licences: names such as "CC BY 4.0"; by default those of OPEN. sizes: keys of SIZES; a photo comes in the first
        that it has. A photo that comes twice is given once. What lacks a number, an owner or a wanted licence is left
        out, since it could not be credited.

        Raises ValueError for no text, or sizes or licences that are not known; FlickrError where there is no good
        answer, while you iterate.
        """
        if not text.strip():
            raise ValueError("Say what to search for: the text is empty.")
        if not sizes or not set(sizes) <= set(SIZES):
            raise ValueError(f"Sizes are {', '.join(SIZES)}; not {', '.join(sizes) or 'none'}.")
        wanted = self._wanted(licences)
        query = {
            "text": text,
            "license": ",".join(wanted),
            "extras": ",".join(["license", "owner_name", *(f"url_{size}" for size in sizes)]),
            "content_types": "0",  # photos; no screenshots or drawings
            "media": "photos",
            "safe_search": "1",
            "sort": "relevance",
            "per_page": PAGE,
        }
        return self._pages(query, wanted, sizes)

    def collect(
        self,
        text: str,
        folder: Path,
        *,
        count: int = 500,
        licences: Collection[str] | None = None,
        sizes: Sequence[str] = ("q",),
        threads: int = 4,
        bar: bool = True,
    ) -> Collected:
        """Fetch the first `count` photos that `search` finds into `folder`; those that are there are not fetched again.

        threads: how many fetch at once. bar: show the progress. A picture that is gone, cut, broken, too large or no
        picture is listed with the reason; the rest goes on. An interruption loses nothing that was written.

        Raises what `search` does, and ValueError for a count or threads below 1.
        """
        if min(count, threads) < 1:
            raise ValueError(f"A collection needs at least 1 photo and 1 thread, not {count} and {threads}.")
        found = self.search(text, licences=licences, sizes=sizes)
        box, fetched, refused = gallery.Gallery(folder), 0, []
        with (
            tqdm(itertools.islice(found, count), total=count, desc=text, unit="photo", disable=not bar) as looked_at,
            closing(
                gallery.fetch(
                    ((asdict(photo), photo.url) for photo in looked_at if photo.id not in box.known),
                    allowed=self._allowed,
                    threads=threads,
                    pause=self.picture_pause,
                    retries=self.retries,
                    timeout=self.timeout,
                )
            ) as contents,
        ):
            for photo, content in contents:
                reason = box.add(photo, content) if isinstance(content, bytes) else content
                fetched += not reason
                if reason:
                    refused.append(photo | {"reason": reason if photo["url"] else "It does not come in this size."})
        kept = photos(folder) if box.known else pd.DataFrame(columns=COLUMNS)
        return Collected(kept, fetched, pd.DataFrame(refused, columns=["id", "reason", "page"]))

    def _wanted(self, names: Collection[str] | None) -> dict[str, tuple[str, str]]:
        """The part of `licences` that has these names."""
        known = {name for name, _ in self.licences.values()}
        names = set(OPEN) & known if names is None else set(names)
        if not names or names - known:
            unknown = ", ".join(sorted(names - known)) or "none"
            raise ValueError(f"Flickr has no such licence: {unknown}. It has: {', '.join(sorted(known))}.")
        return {number: licence for number, licence in self.licences.items() if licence[0] in names}

    def _ask(self, method: str, **arguments: object) -> dict:
        """An answer of the API. Raises FlickrError, in whose message and traceback the key does not stand."""
        query = {"method": method, "api_key": self.key, "format": "json", "nojsoncallback": 1, **arguments}
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(60, self.pause * 2**attempt))
            try:
                answer = self.session.get(self.home, params=query)
                answer.raise_for_status()
                found = answer.json()
                stat = found.get("stat")
            except (requests.JSONDecodeError, RecursionError, AttributeError):
                problem = "what came is not the JSON that was asked for"
                continue
            except requests.RequestException as error:
                problem = gallery.why(error)
                break  # the session has tried again already
            if stat == "ok":
                return found
            problem, code = str(found.get("message", "no reason given"))[:200].replace(self.key, "…"), found.get("code")
            if code == WRONG_KEY:
                raise FlickrError(f"Flickr does not know the key ({problem}). Look at FLICKR_KEY.")
            if code not in BUSY:
                break
        raise FlickrError(f"Flickr gave no good answer to {method}: {problem}. Try again later.")

    def _pages(self, query: dict, wanted: dict[str, tuple[str, str]], sizes: Sequence[str]) -> Iterator[Photo]:
        seen: set[str] = set()
        for page in itertools.count(1):
            found = self._ask("flickr.photos.search", **query, page=page).get("photos")
            try:
                entries, last = [dict(each) for each in found["photo"]], page >= int(found["pages"])
            except (KeyError, TypeError, ValueError):
                raise FlickrError(f"Page {page} of the search is not of the form that Flickr's answers have.") from None
            fresh = {number: each for each in entries if (number := str(each.get("id"))) not in seen}
            seen.update(fresh)
            yield from filter(None, (_photo(each, wanted, sizes) for each in fresh.values()))
            if last or not fresh:  # an empty page, or one that was there before: there is no more
                return

    def _allowed(self, url: str) -> bool:
        """Whether an address is one of Flickr's pictures, or on the host of the API (for a local server)."""
        try:
            address, home = urlsplit(url), urlsplit(self.home)
        except ValueError:
            return False
        flickr = address.scheme == "https" and (address.hostname or "").endswith(PICTURES)
        return flickr or (address.scheme, address.netloc) == (home.scheme, home.netloc)


def photos(folder: Path) -> pd.DataFrame:
    """What a folder of `collect` holds, a row each; the columns are COLUMNS.

    Raises gallery.GalleryError where nothing was collected there.
    """
    return pd.DataFrame(gallery.lines(folder), columns=COLUMNS)


def credit(photo: pd.Series | Photo) -> str:
    """What to write beside a photo, from a row of `photos`: its title, owner, licence and page."""
    return f"“{photo.title or 'Untitled'}” by {photo.owner}, {photo.licence}, {photo.page}"


def _key(key: str | None) -> str:
    where = "The key"
    if key is None:
        where, key = "FLICKR_KEY", os.environ.get("FLICKR_KEY", "").strip()
    if not key:
        raise FlickrError(
            "Flickr asks for a key: get one at flickr.com/services/apps/create (a free one for non-commercial use, for "
            "which Flickr may ask for a Pro account) and put it into the environment variable FLICKR_KEY."
        )
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        raise FlickrError(f"{where} holds no key of Flickr: those have 32 digits of 0 to 9 and a to f.")
    return key


def _short(name: str, url: str) -> str:
    """ "CC BY-SA 2.0" from Creative Commons' address of the licence; other licences keep Flickr's name."""
    if found := re.search(r"creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)", url):
        return f"CC {found[1].upper()} {found[2]}"
    if found := re.search(r"creativecommons\.org/publicdomain/(zero|mark)/(\d\.\d)", url):
        return f"{'CC0' if found[1] == 'zero' else 'Public Domain Mark'} {found[2]}"
    return name


def _photo(entry: dict, wanted: dict[str, tuple[str, str]], sizes: Sequence[str]) -> Photo | None:
    """A photo of a search's answer; None for one that could not be credited."""
    number, owner, licence = (str(entry.get(field, "")) for field in ("id", "owner", "license"))
    # The number becomes the name of a file here, both become an address.
    if not re.fullmatch(r"[0-9]{1,20}", number) or not re.fullmatch(r"[\w@-]{1,50}", owner) or licence not in wanted:
        return None
    addresses = [str(entry[f"url_{size}"]) for size in sizes if entry.get(f"url_{size}")]
    return Photo(
        id=number,
        title=" ".join(str(entry.get("title", "")).split()),
        owner=" ".join(str(entry.get("ownername", "")).split()) or owner,
        licence=wanted[licence][0],
        licence_url=wanted[licence][1],
        page=f"https://www.flickr.com/photos/{owner}/{number}",
        url=addresses[0] if addresses else "",
    )
