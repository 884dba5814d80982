"""A web server of a test's own on 127.0.0.1, whose handler answers what the test put there."""

import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Handler(http.server.BaseHTTPRequestHandler):
    """What the handlers of the tests share: an answer in one call, and no log."""

    def reply(self, status: int, headers: Mapping[str, object], body: bytes) -> None:
        """Send an answer; the headers may say another Content-Length than that of the body."""
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve until the block ends; gives the address, with a slash at its end."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # clients hang up on purpose
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
