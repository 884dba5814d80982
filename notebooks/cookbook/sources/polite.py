"""How every client of this book visits a server: slowly, patiently, and with a name."""

import time

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from cookbook import data


def session(*, pause: float = 1.0, retries: int = 5, timeout: float = 30) -> requests.Session:
    """A session that says who it is, waits between requests, retries, and never hangs.

    pause: the least time between two requests, in seconds. retries: how often a request that failed is
    tried again (429 and 5xx answers, broken connections), with growing pauses, or with the server's
    Retry-After. timeout: in seconds, for each request that names none.
    """
    made = requests.Session()
    made.headers["User-Agent"] = data.USER_AGENT
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Polite(pause, retries, timeout))
    return made


class _Polite(HTTPAdapter):
    """Waits before a request if the last one was just now; retries with back-off; never hangs."""

    def __init__(self, pause: float, retries: int, timeout: float):
        self.pause, self.timeout, self.last = pause, timeout, -pause
        super().__init__(
            max_retries=Retry(
                total=retries,
                backoff_factor=pause,
                backoff_max=60,
                status_forcelist=(429, 500, 502, 503, 504),
                allowed_methods=("GET",),
                retry_after_max=300,
            )
        )

    def send(self, request, stream=False, timeout=None, **options):
        time.sleep(max(0.0, self.last + self.pause - time.monotonic()))
        try:
            return super().send(request, stream=stream, timeout=timeout or self.timeout, **options)
        finally:
            self.last = time.monotonic()
