"""Play a service on your own machine, from recorded answers, so that a client can be shown without a network."""

import functools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of `folder` on 127.0.0.1 until the block ends; gives the address, "http://…/"."""
    handler = functools.partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@contextmanager
def answered(answer: Callable[[str, dict[str, str]], tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """Serve what a function answers, on 127.0.0.1 until the block ends; gives the address, "http://127.0.0.1:PORT".

    answer: from a path such as "/services/rest/" and the query, to a status, headers and content. It is called by many
    threads at once.
    """

    class Handler(_Quiet):
        protocol_version = "HTTP/1.1"  # connections stay open, as a service's do
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            status, headers, content = answer(asked.path, dict(parse_qsl(asked.query)))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # the other side may have had enough
                self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def streamed(lines: Iterable[str | bytes], *, drops: Sequence[int] = (), pause: float = 0.0) -> Iterator[str]:
    """Play recorded messages as Bluesky's Jetstream does, on 127.0.0.1; gives the address, "ws://…/subscribe".

    Each connection gets the messages from its ?cursor= on (microseconds, compared with their time_us), or all; after
    the last it stays open and silent, as a stream does. lines: bytes are sent as binary messages. A line without a
    time has that of the line before. drops: after how many messages the first connection is cut, the second …; later
    ones are not. pause: the seconds before each message.
    """
    lines = list(lines)
    times = _times(lines)
    cuts = iter(drops)

    def play(connection: ServerConnection) -> None:
        query = parse_qs(urlsplit(connection.request.path).query)
        start = int(query.get("cursor", ["0"])[0])
        chosen = [line for line, stamp in zip(lines, times, strict=True) if stamp >= start]
        cut = next(cuts, None)
        with suppress(ConnectionClosed):
            for line in chosen[:cut]:
                time.sleep(pause)
                connection.send(line)
            if cut is None:
                connection.recv()  # until the other side has had enough
            else:
                connection.socket.shutdown(socket.SHUT_RDWR)  # without a word, as a network does

    with serve(play, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/subscribe"
        finally:
            server.shutdown()
            thread.join()


def _times(lines: list[str | bytes]) -> list[int]:
    """The time_us of each line, or of the last line before that has one."""
    times, last = [], 0
    for line in lines:
        with suppress(ValueError, AttributeError, TypeError, RecursionError):
            last = int(json.loads(line).get("time_us"))
        times.append(last)
    return times
