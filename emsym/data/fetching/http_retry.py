"""Retrying requests: which failures may go well later, and how long to wait between tries."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from emsym.data.fetching.download_listener import DownloadListener
from emsym.errors import UserError

if TYPE_CHECKING:
    from requests import Response


T = TypeVar("T")


TRIES = 5
"""How often in a row an attempt may bring less than `STRIDE` bytes."""


STRIDE = 1 << 20


BACKOFF = 1.0
"""Seconds before the second try, doubled each time, where the server does not say how long."""


LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is not waited for."""


TIMEOUT = (15, 60)
"""Seconds until a connection stands, and between two bytes."""


HEADERS = {"User-Agent": "emsym-bench"}  # a name of its own is less often refused


BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which the same request may go well."""


class RetryError(Exception):
    """A request failed that may go well later, after `wait` seconds if the server said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        """`wait` is None where the server did not say how long."""
        super().__init__(why)
        self.wait = wait


def retry(
    action: Callable[[], T], listener: DownloadListener, reached: Callable[[], int] = lambda: 0
) -> T:
    """Repeat an action until it goes well, or got no further some times in a row."""
    tries, best = 0, reached()
    while True:
        try:
            return action()
        except RetryError as again:
            tries += 1
            if (now := reached()) >= best + STRIDE:
                tries, best = 1, now
            wait = BACKOFF * 2 ** (tries - 1) if again.wait is None else again.wait
            if tries >= TRIES or wait > LONGEST_WAIT:
                later = f", and asks to wait {wait:.0f} s" if wait > LONGEST_WAIT else ""
                raise UserError(f"{again}{later}") from again
            listener.say(f"{again}: trying again in {wait:.0f} s.")
        time.sleep(wait)


def retry_after(response: "Response") -> float | None:
    """Return the seconds that a response asks to wait, or None where it does not say."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(response.headers["Retry-After"])
    except (KeyError, InvalidHeader):
        return None


def status_text(response: Any) -> str:
    """Return which address answered with which status, in words."""
    return f"{response.url} answered {response.status_code} {response.reason}"


def host_name(url: str) -> str:
    """Return the host of an address, or the address where it names none."""
    return urlsplit(url).hostname or url


def request_error(error: Any) -> Exception:
    """Return the exception to raise for one of requests: `RetryError` or `UserError`."""
    from requests import ConnectionError as NotConnected
    from requests import Timeout
    from requests.exceptions import ChunkedEncodingError, ProxyError, SSLError

    host = host_name(error.request.url) if error.request is not None else "the server"
    if isinstance(error, SSLError):
        return UserError(f"{host} cannot be trusted ({error})")
    if isinstance(error, ProxyError):
        return UserError(f"the proxy to {host} does not work ({error})")
    if isinstance(error, Timeout):
        return RetryError(f"{host} did not answer in time")
    if isinstance(error, NotConnected | ChunkedEncodingError):
        return RetryError(f"{host} cannot be reached")
    return UserError(f"{host}: {error}")
