"""Find a data set: the shipped sample, a local mirror, or the real thing from its home.

data/manifest.json lists every data set. A sample is a file of this repository or of a pinned
package; the full data set is a download. Whatever is returned has been checked against the
manifest's hash: "sha256:…", or what the data's home publishes ("md5:…", "sha1:…").
"""

import hashlib
import importlib.util
import json
import os
from functools import cache
from pathlib import Path

import pooch
import requests
from tqdm.auto import tqdm

from cookbook import paths

USER_AGENT = "deep-learning-cookbook/1.0 (a book of notebooks; python-requests)"


class DataError(RuntimeError):
    """A data set that is missing, cut or changed. The message says what, where from, what to do."""


@cache
def manifest() -> dict[str, dict]:
    """The data sets by name, as data/manifest.json describes them."""
    return json.loads((paths.DATA / "manifest.json").read_text("utf8"))


def describe(name: str) -> dict:
    """The manifest's entry of one data set: title, home, licence, citation, sample, full.

    Raises DataError where there is no such data set.
    """
    if name not in manifest():
        raise DataError(f"No data set is called {name!r}. There are: {', '.join(manifest())}.")
    return manifest()[name]


def path(name: str, *, full: bool = False) -> Path:
    """The file of a data set.

    name: as in data/manifest.json. full: the whole data set instead of the sample; it is taken
    from the folder $COOKBOOK_MIRROR if it is there, else downloaded once into generated/downloads.

    Raises DataError where the file is missing, cut or changed, or cannot be downloaded.
    """
    entry = describe(name)
    if not full:
        return verify(_sample(name, entry["sample"]), entry["sample"]["hash"])
    if "full" not in entry:
        raise DataError(f"{name} has no larger version: its sample is all there is.")
    source = entry["full"]
    if mirror := os.environ.get("COOKBOOK_MIRROR"):
        copy = Path(mirror) / source["file"]
        if copy.is_file():
            return verify(copy, source["hash"])
    return download(source["url"], paths.generated("downloads", source["file"]), source["hash"])


def verify(file: Path, known_hash: str) -> Path:
    """Return `file`, or a folder, if its hash is `known_hash` ("sha256:…"); else raise DataError."""
    right = folder_hash(file) == known_hash if file.is_dir() else pooch.hashes.hash_matches(file, known_hash)
    if not right:
        raise DataError(
            f"{paths.short(file)} is not the file that the manifest describes (its hash differs): "
            "it was cut or changed. Restore it (git checkout, or delete it and download again)."
        )
    return file


def folder_hash(folder: Path) -> str:
    """The hash of a folder's files: "sha256:" of what `sha256sum *` prints there, in the order of the names."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def download(url: str, target: Path, known_hash: str | None = None, *, session: requests.Session | None = None) -> Path:
    """Download `url` to `target`, unless it is there; return `target`.

    A download that was cut goes on where it stopped: until it is whole and its hash is right it
    lies beside `target` as NAME.part. session: one with its own retries and pauses, if you have it.

    Raises DataError with what to do; `target` never exists half-written.
    """
    if target.is_file():
        return verify(target, known_hash) if known_hash else target
    part = target.with_name(target.name + ".part")
    try:
        _fetch(url, part, session or requests.Session())
    except requests.RequestException as error:
        kept = f" {part.stat().st_size:,} bytes are kept." if part.is_file() else ""
        raise DataError(
            f"The download of {target.name} from {url} failed ({type(error).__name__}).{kept} "
            "Check the connection and run this again, or put the file into the folder that "
            "COOKBOOK_MIRROR names."
        ) from error
    if known_hash and not pooch.hashes.hash_matches(part, known_hash):
        part.unlink()
        raise DataError(
            f"{target.name} from {url} arrived changed (its hash is not the expected one) and was "
            "removed. Run this again; if it happens twice, its home has a new version."
        )
    return part.replace(target)


def _fetch(url: str, part: Path, session: requests.Session) -> None:
    """Append what is missing of `url` to `part` (HTTP range requests, RFC 9110 section 14)."""
    done = part.stat().st_size if part.is_file() else 0
    # Not compressed on the way: Content-Length and Range would count the compressed bytes.
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    with session.get(url, headers=headers, stream=True, timeout=30) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing; the hash will tell
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            done = 0  # the server sends all of it again
        size = done + int(answer.headers.get("Content-Length", 0))
        with (
            open(part, "ab" if done else "wb") as file,
            tqdm(total=size or None, initial=done, unit="B", unit_scale=True, desc=part.stem) as bar,
        ):
            for block in answer.iter_content(1 << 16):
                file.write(block)
                bar.update(len(block))
        if size > part.stat().st_size:
            raise requests.ConnectionError("the connection closed early")


def _sample(name: str, sample: dict) -> Path:
    """The sample's file or folder: in the repository, or inside an installed package."""
    if "package" not in sample:
        folder, cure = paths.DATA, "Restore it with: git checkout data"
    else:
        spec = importlib.util.find_spec(sample["package"])
        folder = Path(spec.origin).parent if spec else Path(sample["package"])
        cure = f"Install it with: pip install -r requirements.txt (package {sample['package']})"
    file = folder / sample["file"]
    if not file.exists():
        raise DataError(f"The sample of {name} is missing: {paths.short(file)}. {cure}.")
    return file
