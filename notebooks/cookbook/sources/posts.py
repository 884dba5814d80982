"""Live posts that hold exactly one emoji: from Bluesky's Jetstream (free) and X's filtered stream (a paid key).

    collected = posts.bluesky("posts.ndjson", count=1000, languages={"en"})

A line of the file is {"emoji": "🎉", "text": "we won"}, and that is all that is kept of a post. What people write is
personal data even when it is public: a text can be searched for, and so leads back to who wrote it. So nothing else of
a person goes in: no name, no account, no number, no time; people and links in the text become @user and URL (a name
written without @ stays). Posts get deleted, and platforms ask that copies go too. Without their numbers ours
cannot be told apart, so the file as a whole should go when the model is trained, and it must not be passed on.

How it works: a `Stream` gives messages, one connection after another; a parser (`bluesky_post`, `x_post`) makes a
`Post` of each; `collect` takes them one by one, decides, writes, and remembers nothing but hashes. The stream waits
meanwhile, so a flood fills no memory.
"""

import email.utils
import html
import json
import os
import random
import re
import signal
import threading
import time
import unicodedata
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import urlencode

import emoji
import regex
import requests
from tqdm.auto import tqdm
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import connect

from cookbook import data, paths
from cookbook.sources import polite

JETSTREAM = "wss://jetstream2.us-east.bsky.network/subscribe"
X_STREAM = "https://api.x.com/2/tweets/search/stream"
X_TAG = "cookbook"  # marks our rules among those that an app may have already
X_EMOJI = ["😂", "❤️", "😍", "🙏", "😊", "🔥", "😭", "👍", "🎉", "🤔"]

MOST_BYTES = 1 << 18  # of a message; posts are a hundred times smaller
MOST_CHARACTERS = 30_000  # of a text
REWIND = 5_000_000  # microseconds before the cursor, where a stream is taken up again
SILENCE = 20.0  # seconds without a sign of life, after which a connection counts as dead
LONGEST = 320  # the longest wait between two tries, in pauses (or what the server asks for, up to an hour)


class PostsError(RuntimeError):
    """Nothing can be collected, or no more. The message is one clear sentence, or two."""


# The emoji of a text

# The recommended emoji (RGI) in their fully qualified form, by the form without U+FE0F.
FULL = {
    each.replace("\ufe0f", ""): each
    for each, about in emoji.EMOJI_DATA.items()
    if about["status"] == emoji.STATUS["fully_qualified"]
}
_CLUSTER = regex.compile(r"\X")
# Shown as a picture: by its nature, because U+FE0F asks for it, as part of a joined sequence, or as a keycap.
_PICTURE = regex.compile(
    r"\p{Emoji_Presentation}(?!\ufe0e)|\p{Extended_Pictographic}[\ufe0f\u200d]|[0-9#*]\ufe0f?\u20e3"
)


def one_emoji(text: str) -> tuple[str, str] | None:
    """The emoji of a text that holds exactly one, and the text without it; None for any other text.

    What counts is what one sees as one sign (a grapheme cluster): 👩🏽‍🚀, 🇪🇺 and 1️⃣ are one emoji each. Characters
    that are text by nature (©, ❤, ☺, digits) are emoji only where U+FE0F follows, as keyboards write it (Unicode
    Technical Standard 51, section 1.4). The emoji is given in its fully qualified form, so that its spellings are
    one class. A sequence that Unicode does not recommend, such as half a flag, makes it None. White space becomes
    single spaces.
    """
    found = _emoji(text)
    return found if isinstance(found, tuple) else None


def _emoji(text: str) -> tuple[str, str] | str:
    """What `one_emoji` gives, or the reason why not."""
    if not _PICTURE.search(text):
        return "no emoji"
    pictures = [match for match in _CLUSTER.finditer(text) if _PICTURE.search(match[0])]
    if len(pictures) != 1:
        return "several emoji" if pictures else "no emoji"
    start, end = pictures[0].span()
    full = FULL.get(text[start:end].replace("\ufe0f", ""))
    rest = " ".join(f"{text[:start]} {text[end:]}".split())
    return (full, rest) if full else "unknown emoji"


# From a message to a post: pure functions


@dataclass(frozen=True, slots=True)
class Post:
    """A new post. text: with @user and URL for people and links. languages: as the app says, such as "en".
    repost: it repeats another's. position: the stream's place, for the cursor alone."""

    text: str
    languages: frozenset[str] = frozenset()
    reply: bool = False
    repost: bool = False
    position: int | None = None


def bluesky_post(message: str | bytes) -> Post | None:
    """The post that an event of Jetstream brings; None for other events (deletions, accounts, likes …).

    Raises ValueError where the message is no event.
    """
    event = _object(message)
    commit = event.get("commit")
    if not isinstance(commit, dict) or (event.get("kind"), commit.get("operation")) != ("commit", "create"):
        return None
    if commit.get("collection") != "app.bsky.feed.post":
        return None
    record = commit.get("record")
    if not isinstance(record, dict):
        raise ValueError("a post without its record")
    position = event.get("time_us")
    return Post(
        text=without_people(_text(record.get("text")), _facets(record.get("facets"))),
        languages=_languages(record.get("langs")),
        reply="reply" in record,
        position=position if type(position) is int else None,
    )


def x_post(message: str | bytes) -> Post | None:
    """The post that a line of X's filtered stream brings; None for other lines, such as a notice that it will close.

    Raises ValueError where the line is no JSON object, or holds a post without a text.
    """
    found = _object(message).get("data")
    if not isinstance(found, dict):
        return None
    text = html.unescape(_text(found.get("text")))  # X writes &amp; for &
    referenced = found.get("referenced_tweets")
    kinds = {each.get("type") for each in referenced if isinstance(each, dict)} if isinstance(referenced, list) else ()
    return Post(
        text=without_people(text),
        languages=_languages([found.get("lang")]),
        reply="replied_to" in kinds,
        repost="retweeted" in kinds or text.startswith("RT @"),
    )


def _object(message: str | bytes) -> dict:
    try:
        found = json.loads(message)
    except RecursionError:
        raise ValueError("brackets without end") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    if len(value) > MOST_CHARACTERS:
        raise ValueError("longer than posts are")
    value.encode()  # half a surrogate pair is no text either
    return value


def _languages(value: object) -> frozenset[str]:
    """{"pt", "en"} from ["pt-BR", "en"]."""
    some = value if isinstance(value, list) else []
    return frozenset(each.split("-")[0].lower() for each in some if isinstance(each, str))


_LINK = re.compile(r"(?:https?://|at://|www\.|did:[a-z]+:)\S+|(?<![\w.-])[\w.-]+\.[a-z]{2,}/\S*", re.IGNORECASE)
_PERSON = re.compile(r"(?<![\w.+@＠-])[\w.+-]*[@＠][\w.+@＠-]*\w|(?<![\w.-])[\w.-]+\.bsky\.social\b", re.IGNORECASE)
_MARKS = {"mention": "@user", "link": "URL"}


def without_people(text: str, facets: Iterable[tuple[int, int, str]] = ()) -> str:
    """The text with @user for people and mail addresses, and URL for links.

    facets: where the app itself marked some, as (first byte, end, "mention" or "link") in UTF-8; wrong ones are passed
    over.
    """
    raw = text.encode()
    limit = len(raw)
    for start, end, kind in sorted(facets, reverse=True):
        if 0 <= start < end <= limit:
            raw, limit = raw[:start] + _MARKS[kind].encode() + raw[end:], start
    with suppress(UnicodeDecodeError):  # a facet that begins inside a character
        text = raw.decode()
    return _PERSON.sub("@user", _LINK.sub("URL", text))


def _facets(value: object) -> list[tuple[int, int, str]]:
    """The mentions and links among a record's facets (app.bsky.richtext.facet)."""
    found = []
    for facet in value if isinstance(value, list) else []:
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # of a wrong form
            start, end = (facet["index"][name] for name in ("byteStart", "byteEnd"))
            kinds = {str(each["$type"]).rpartition("#")[2] for each in facet["features"]} & set(_MARKS)
            if kinds and type(start) is type(end) is int:
                found.append((start, end, "mention" if "mention" in kinds else "link"))
    return found


# Collecting


class Beat(Enum):
    """What a stream gives when it has no message to give."""

    WAITING = "nothing came for a while"
    TOO_LARGE = "a message that is too large was passed over"


@dataclass
class Collected:
    """What came of collecting. read = kept + the sum of dropped.

    dropped: how many by reason. ended: "count", "time", "Ctrl-C" or "end of the stream".
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    ended: str = ""


def collect(
    messages: Iterable[str | bytes | Beat],
    parse: Callable[[str | bytes], Post | None],
    file: Path | str,
    *,
    cursor: "Cursor | None" = None,
    count: int | None = None,
    seconds: float | None = None,
    languages: Collection[str] | None = None,
    replies: bool = True,
    memory: int = 100_000,
    bar: bool = True,
) -> Collected:
    """Append the posts with exactly one emoji to `file`, as lines {"emoji": …, "text": …}; say what was read.

    messages: a `Stream`, or any iterable. parse: `bluesky_post` or `x_post`. cursor: kept up to date and saved, never
    ahead of the file. count, seconds: stop after so many posts kept, after so long. languages: such as {"en", "de"};
    other posts, and those that name none, are dropped. replies: keep them too. memory: with how many of the last posts
    kept a new one is compared, those that `file` holds already included; bar: show progress.

    Ctrl-C ends it like a limit does. It cuts short only waiting, so what was read is written and counted.

    Raises PostsError where the stream cannot be had (any more), or `file` is not ours or cannot be written.
    """
    wanted = None if languages is None else {each.lower() for each in languages}
    deadline = None if seconds is None else time.monotonic() + seconds
    collected, output = Collected(), _Output(Path(file), memory)
    stream = iter(messages)
    with _HeldBack() as interrupt, output, _bar(count, bar) as progress:
        try:
            while not (end := _end(collected, count, deadline, interrupt)):
                with interrupt.allowed():
                    message = next(stream)
                if message is Beat.WAITING:
                    continue
                reason, position = _take(message, parse, wanted, replies, output)
                collected.read += 1
                collected.dropped.update([reason] if reason else [])
                if not reason:
                    collected.kept += 1
                    progress.set_postfix(read=collected.read, refresh=False)
                    progress.update()
                if cursor:
                    cursor.advance(position, output.flush)
        except StopIteration:
            end = "end of the stream"
        except KeyboardInterrupt:
            end = "Ctrl-C"
        except PostsError as error:
            kept = f"{collected.kept:,} posts were kept in {paths.short(output.file)} before."
            raise PostsError(f"{error} {kept}" if collected.kept else str(error)) from error
        finally:
            if hasattr(stream, "close"):
                stream.close()
            if cursor:
                cursor.save(output.flush)
    collected.ended = end
    return collected


def _bar(total: int | None, show: bool) -> tqdm:
    """A progress bar. Where it is wanted nothing is said about it, so that TQDM_DISABLE still has its say."""
    return tqdm(total=total, unit="post", **({} if show else {"disable": True}))


def _end(collected: Collected, count: int | None, deadline: float | None, interrupt: "_HeldBack") -> str:
    """Why to stop now; "" to go on."""
    if interrupt.asked:
        return "Ctrl-C"
    if count is not None and collected.kept >= count:
        return "count"
    return "time" if deadline is not None and time.monotonic() >= deadline else ""


def _take(
    message: str | bytes | Beat,
    parse: Callable[[str | bytes], Post | None],
    wanted: set[str] | None,
    replies: bool,
    output: "_Output",
) -> tuple[str, int | None]:
    """Write what is to be kept of a message. Returns the reason if nothing is ("" otherwise), and the position."""
    if message is Beat.TOO_LARGE or len(message) > MOST_BYTES:
        return "too large", None
    try:
        post = parse(message)
    except ValueError:
        return "unreadable", None
    if post is None:
        return "no post", None
    found = _judge(post, wanted, replies)
    if isinstance(found, str):
        return found, post.position
    return ("" if output.add(*found) else "duplicate"), post.position


def _judge(post: Post, wanted: set[str] | None, replies: bool) -> tuple[str, str] | str:
    """The emoji and the text of a post, or the reason to drop it."""
    if post.repost:
        return "repost"
    if post.reply and not replies:
        return "reply"
    if wanted is not None and not wanted & post.languages:
        return "language"
    found = _emoji(post.text)
    if isinstance(found, str):
        return found
    words = found[1].replace("@user", "").replace("URL", "")
    return found if re.search(r"\w", words) else "no words"


class Cursor:
    """Where a stream is to go on: microseconds, kept in a file of its own that is replaced as a whole.

    Raises PostsError where the file holds something else.
    """

    def __init__(self, file: Path | str, *, every: float = 2.0):
        self.file, self.every, self.saved = Path(file), every, time.monotonic()
        self.value: int | None = None
        if self.file.exists():
            try:
                self.value = int(self.file.read_text("ascii"))
            except ValueError:
                raise PostsError(
                    f"{paths.short(self.file)} holds no position. Delete it to begin with what is posted now."
                ) from None

    def advance(self, position: int | None, flush: Callable[[], None]) -> None:
        """Move on to `position`, and save it every now and then. flush: makes safe what was written before."""
        tomorrow = (time.time() + 86_400) * 1e6  # a time to come would skip what is posted until then
        if position is not None and (self.value or 0) < position < tomorrow:
            self.value = position
        if time.monotonic() - self.saved >= self.every:
            self.save(flush)

    def save(self, flush: Callable[[], None]) -> None:
        """Write the file, after what it stands for."""
        self.saved = time.monotonic()
        flush()
        if self.value is None:
            return
        beside = self.file.with_name(self.file.name + ".new")
        try:
            beside.write_text(str(self.value), "ascii")
            beside.replace(self.file)
        except OSError as error:
            raise PostsError(f"{paths.short(self.file)} cannot be written ({error.strerror}).") from error


_BEGINNING = b'{"emoji": "'  # of each line


class _Output:
    """A file of lines {"emoji": …, "text": …}, to which whole lines are added, none twice.

    What was seen is kept as Python's own hashes, in memory: they are keyed anew in each run, so they say nothing
    to anybody. After a restart they are made again from the file, which so needs no second file beside it.
    """

    def __init__(self, file: Path, memory: int):
        self.file, self.memory = file, max(1, memory)
        self.seen: OrderedDict[int, None] = OrderedDict()

    def __enter__(self) -> "_Output":
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.lines = open(self.file, "a+b")
        except OSError as error:
            raise self._cannot(error) from error
        try:
            self._mend()
            self._remember()
        except BaseException:
            self.lines.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()

    def add(self, sign: str, text: str) -> bool:
        """Write a line, in one piece; False where the same was written before."""
        if not self._is_new(sign, text):
            return False
        line = json.dumps({"emoji": sign, "text": text}, ensure_ascii=False) + "\n"
        try:
            self.lines.write(line.encode())
            self.lines.flush()
        except OSError as error:
            raise self._cannot(error) from error
        return True

    def flush(self) -> None:
        """Have the system write what it still holds back."""
        os.fsync(self.lines.fileno())

    def _is_new(self, sign: str, text: str) -> bool:
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        key = hash((sign, plain))
        new = key not in self.seen
        self.seen[key] = None
        self.seen.move_to_end(key)
        if len(self.seen) > self.memory:
            self.seen.popitem(last=False)
        return new

    def _mend(self) -> None:
        """Cut off a last line that a crash has torn; refuse a file that is not ours."""
        self.lines.seek(0)
        if not _BEGINNING.startswith(self.lines.read(len(_BEGINNING))):
            raise PostsError(f"{paths.short(self.file)} holds something else than posts. Name another file.")
        size = end = self.lines.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - MOST_BYTES)
            self.lines.seek(start)
            newline = self.lines.read(end - start).rfind(b"\n")
            end = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if end < size:
            self.lines.truncate(end)

    def _remember(self) -> None:
        """Fill the memory from the file's last lines."""
        self.lines.seek(0)
        for line in deque(self.lines, self.memory):
            if known := _line(line):
                self._is_new(*known)

    def _cannot(self, error: OSError) -> PostsError:
        return PostsError(f"{paths.short(self.file)} cannot be written ({error.strerror}).")


def _line(line: bytes) -> tuple[str, str] | None:
    """The emoji and the text of a line; None where it is none of ours."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(line)
        if isinstance(found["emoji"], str) and isinstance(found["text"], str):
            return found["emoji"], found["text"]
    return None


class _HeldBack:
    """Ctrl-C, held back but where it is allowed: there it is a KeyboardInterrupt as always."""

    def __init__(self) -> None:
        self.asked, self.open, self.ours = False, False, False

    def __enter__(self) -> "_HeldBack":
        # Python allows it in the main thread only; elsewhere, and where Ctrl-C means something else, nothing changes.
        if threading.current_thread() is threading.main_thread():
            self.ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.ours:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def allowed(self) -> "_Allowed":
        return _Allowed(self)

    def _ask(self, *_: object) -> None:
        self.asked = True
        if self.open:
            self.open = False
            raise KeyboardInterrupt


class _Allowed:
    """The block in which Ctrl-C interrupts. (A generator would add frames of its own to be interrupted.)"""

    def __init__(self, held: _HeldBack):
        self.held = held

    def __enter__(self) -> None:
        self.held.open = True
        if self.held.asked:
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        self.held.open = False


# The streams


class _LostError(Exception):
    """A connection broke or was not made. wait: how long the server asks to wait; slow: by how much more than usual."""

    def __init__(self, why: str, *, wait: float = 0.0, slow: float = 1.0):
        super().__init__(why)
        self.wait, self.slow = wait, slow


class Stream:
    """The messages of a service, one connection after another: an iterable without an end.

    Between two tries it waits: a pause, twice as long after each failure, shortened by up to a half at random so that
    not all clients come back at once, or as long as the server asks. A message sets the pause back. While it waits it
    gives Beat.WAITING about once a second.

    home: the address. pause: in seconds. tries: how many failures in a row are too many. silence: in seconds.

    Raises PostsError where there is no use in trying again.
    """

    def __init__(self, home: str, *, pause: float = 1.0, tries: int = 8, silence: float = SILENCE):
        self.home, self.pause, self.tries, self.silence = home, pause, tries, silence
        self.connections = 0
        self.chance = random.Random()  # its own, so that it disturbs no seed

    def connection(self) -> Iterator[bytes | Beat]:
        """The messages of one connection. Raises _LostError, or PostsError where another would not help."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes | Beat]:
        failures = 0
        while True:
            lost = _LostError("it closed the connection")
            self.connections += 1
            try:
                with closing(self.connection()) as messages:
                    for message in messages:
                        if isinstance(message, bytes):
                            failures = 0
                        yield message
            except _LostError as error:
                lost = error
            failures += 1
            if failures >= self.tries:
                raise PostsError(f"{self.home} cannot be reached: {failures} tries failed. The last time, {lost}.")
            yield from self._rest(lost, failures)

    def _rest(self, lost: _LostError, failures: int) -> Iterator[Beat]:
        delay = self.pause * min(LONGEST, lost.slow * 2 ** (failures - 1)) * self.chance.uniform(0.5, 1)
        end = time.monotonic() + max(delay, lost.wait)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
            yield Beat.WAITING


class Bluesky(Stream):
    """The new posts of Bluesky as Jetstream sends them, from a little before `cursor` on, or from now on."""

    def __init__(self, cursor: Cursor, home: str = JETSTREAM, **options: float):
        super().__init__(home, **options)
        self.cursor, self.leap = cursor, 0

    def address(self) -> str:
        """Where to connect to next.

        The server is asked not to send what is too large. Should it do so all the same, the connection breaks, and
        would again at the same place: so each time a larger leap is made over it.
        """
        query = {"wantedCollections": "app.bsky.feed.post", "maxMessageSizeBytes": MOST_BYTES}
        if self.cursor.value is not None:
            query["cursor"] = self.cursor.value + (self.leap or -REWIND)
        return f"{self.home}?{urlencode(query)}"

    def connection(self) -> Iterator[bytes | Beat]:
        try:
            with connect(
                self.address(), max_size=MOST_BYTES, close_timeout=1, user_agent_header=data.USER_AGENT
            ) as connection:
                heard = time.monotonic()
                while True:
                    try:
                        message = connection.recv(timeout=min(1.0, self.silence), decode=False)
                    except TimeoutError:
                        if time.monotonic() - heard >= self.silence:
                            raise _LostError("nothing came any more") from None
                        yield Beat.WAITING
                        continue
                    self.leap = 0
                    yield message
                    heard = time.monotonic()
        except InvalidURI as error:
            raise PostsError(f"{self.home!r} is no address of a stream. It begins with wss://.") from error
        except InvalidStatus as error:
            raise _refusal("Bluesky", error.response.status_code, error.response.headers) from error
        except ConnectionClosed as error:
            if error.sent and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
                yield Beat.TOO_LARGE
                self.leap = max(10_000, 4 * self.leap)
            raise _LostError("the connection broke") from error
        except (WebSocketException, OSError) as error:
            raise _LostError(_why(error)) from error


class X(Stream):
    """The posts that match the rules of an app on X (see `x_rules`), as the filtered stream sends them.

    Raises PostsError where the environment holds no X_BEARER_TOKEN.
    """

    def __init__(self, home: str = X_STREAM, **options: float):
        super().__init__(home, **options)
        # Not cookbook.sources.polite: its retries would sleep without looking at the clock or at Ctrl-C.
        self.session = requests.Session()
        self.session.auth = _bearer()
        # Not compressed: a compressor holds lines back until it has many.
        self.session.headers.update({"User-Agent": data.USER_AGENT, "Accept-Encoding": "identity"})

    def connection(self) -> Iterator[bytes | Beat]:
        fields = {"tweet.fields": "lang,referenced_tweets"}
        try:
            with self.session.get(self.home, params=fields, stream=True, timeout=(10, self.silence)) as answer:
                if answer.status_code != requests.codes.ok:
                    raise _refusal("X", answer.status_code, answer.headers)
                yield from _lines(answer.iter_content(1 << 16))
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise PostsError(f"{self.home!r} is no address of a stream. It begins with https://.") from error
        except requests.RequestException as error:
            raise _LostError(_why(error)) from error


def x_rules(rules: Sequence[str], *, home: str = X_STREAM, pause: float = 1.0, tries: int = 5) -> None:
    """Make `rules` the app's rules for the filtered stream, among those with our tag; leave others alone.

    Raises PostsError where there is no token, X refuses it or a rule, or cannot be reached.
    """
    address = f"{home}/rules"
    with polite.session(pause=pause, retries=tries) as session:
        session.auth = _bearer()
        try:
            there = _rules_answer(session.get(address)).get("data") or []
            ours = {each["value"]: each["id"] for each in there if each.get("tag") == X_TAG}
            if old := [number for value, number in ours.items() if value not in rules]:
                _rules_answer(session.post(address, json={"delete": {"ids": old}}))
            if new := [{"value": rule, "tag": X_TAG} for rule in rules if rule not in ours]:
                _rules_answer(session.post(address, json={"add": new}))
        except (AttributeError, KeyError, TypeError, requests.JSONDecodeError) as error:
            raise PostsError(f"{address} does not answer as X does.") from error
        except (requests.RequestException, _LostError) as error:
            raise PostsError(f"{address} cannot be reached: {_why(error)}.") from error


def x_rule(signs: Sequence[str], languages: Collection[str] = ()) -> str:
    """A rule for posts with any of these emoji, no reposts, in any of these languages (or in all)."""
    rule = f"({' OR '.join(signs)}) -is:retweet"
    return f"{rule} ({' OR '.join(f'lang:{each}' for each in sorted(languages))})" if languages else rule


def _rules_answer(answer: requests.Response) -> dict:
    """What X answers about rules. Raises PostsError where it refuses."""
    if not answer.ok and answer.status_code != requests.codes.bad_request:
        raise _refusal("X", answer.status_code, answer.headers)
    found = answer.json()
    if problems := found.get("errors"):
        raise PostsError(f"X does not accept the rules: {problems[0].get('title', 'no reason given')}.")
    return found


def _bearer() -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What signs a request with the token. Raises PostsError where there is none."""
    token = os.environ.get("X_BEARER_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise PostsError(
            "X asks for a key: put the bearer token of an app (developer.x.com, paid by use) into the environment "
            "variable X_BEARER_TOKEN. Bluesky needs none."
        )

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def _refusal(who: str, status: int, headers: object) -> Exception:
    """The exception for an answer that is not a stream: a _LostError where waiting may help."""
    if status == requests.codes.too_many_requests or status >= 500:
        slow = 60 if status == requests.codes.too_many_requests else 5  # as X asks for
        return _LostError(f"{who} answered {status}", wait=_asked_to_wait(headers), slow=slow)
    reasons = {
        401: "does not know the token (401). Look at X_BEARER_TOKEN: it may be cut, or revoked.",
        402: "answered 402: the credit of this account is used up.",
        403: "refuses the token (403): the plan or the app that it belongs to may not read the filtered stream.",
    }
    return PostsError(f"{who} {reasons.get(status, f'refuses the request ({status}); another try would not help.')}")


def _asked_to_wait(headers: object) -> float:
    """The seconds of Retry-After (a number or a date, RFC 9110 section 10.2.3); an hour at most, 0 if there is none."""
    seconds = 0.0
    with suppress(LookupError, ValueError, TypeError):
        value = headers.get("Retry-After") or ""
        date = not value.strip().isdigit()
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time() if date else float(value)
    return min(max(seconds, 0.0), 3600.0)


def _why(error: Exception) -> str:
    """The reason of a failure, in few words."""
    if isinstance(error, _LostError):
        return str(error)
    if isinstance(error, (TimeoutError, requests.Timeout)) or "timed out" in str(error):
        return "nothing came any more"
    return "the connection broke or could not be made"


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes | Beat]:
    """The lines of a stream of bytes; Beat.WAITING for an empty one, Beat.TOO_LARGE for one that is too long.

    The last line counts even if the stream breaks off within.
    """
    rest, skipping = bytearray(), False
    try:
        for block in blocks:
            *whole, tail = block.split(b"\n")
            for piece in whole:
                line = bytes(rest + piece).strip()
                rest.clear()
                if skipping or len(line) > MOST_BYTES:
                    yield Beat.TOO_LARGE
                else:
                    yield line or Beat.WAITING
                skipping = False
            rest += b"" if skipping else tail
            if len(rest) > MOST_BYTES:
                rest.clear()
                skipping = True
    except requests.RequestException:
        if rest:
            yield bytes(rest)
        raise
    if rest:
        yield bytes(rest)


# What one calls


def bluesky(
    file: Path | str, *, home: str = JETSTREAM, pause: float = 1.0, tries: int = 8, **limits: object
) -> Collected:
    """Collect posts of Bluesky into `file`, going on where it stopped: see `collect` for count, seconds, languages …

    The position is kept in FILE.cursor. Jetstream remembers about a day; what is older is gone.

    Raises PostsError where Bluesky cannot be reached.
    """
    cursor = Cursor(Path(f"{file}.cursor"))
    stream = Bluesky(cursor, home, pause=pause, tries=tries)
    collected = collect(stream, bluesky_post, file, cursor=cursor, **limits)
    collected.connections = stream.connections
    return collected


def x(
    file: Path | str,
    *,
    signs: Sequence[str] = X_EMOJI,
    languages: Collection[str] | None = None,
    home: str = X_STREAM,
    pause: float = 1.0,
    tries: int = 8,
    **limits: object,
) -> Collected:
    """Collect posts of X that hold one of the emoji `signs` into `file`: see `collect` for count, seconds …

    X has no cursor, so what is posted while nobody listens is missed. It counts, and charges, each post it sends,
    also those dropped here: a count and a narrow choice of emoji save money. The clock is looked at whenever
    something comes, every 20 seconds at the latest.

    Raises PostsError where there is no token, or X refuses it or cannot be reached.
    """
    stream = X(home, pause=pause, tries=tries)
    x_rules([x_rule(signs, languages or ())], home=home, pause=pause, tries=tries)
    collected = collect(stream, x_post, file, languages=languages, **limits)
    collected.connections = stream.connections
    return collected
