"""Downloading one file: resumed after a cut, a kill or a restart, and never spliced.

What has come lies in a ``.part`` file. Beside it, in ``.part.json``, stands which address it is
from and the server's word for that version of the file, so that a changed file starts over.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from emsym.data.fetching.fetched_files import check_space
from emsym.errors import UserError

if TYPE_CHECKING:
    from requests import Response, Session

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
CHUNK = 1 << 16
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which the same request may go well."""


class DownloadListener(Protocol):
    """Whom a fetch tells how it goes."""

    def bytes(self, name: str, done: int, total: int | None) -> None:
        """So much of a file is here."""

    def say(self, text: str) -> None:
        """One sentence."""


class RetryError(Exception):
    """What failed may go well later, after `wait` seconds if the server said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        """`wait` is None where the server did not say how long."""
        super().__init__(why)
        self.wait = wait


def download(
    url: str,
    output_file: str,
    _pooch: object,
    *,
    name: str,
    part: Path,
    checked: bool,
    watcher: DownloadListener,
) -> None:
    """Download a file: a custom downloader of pooch, once the named arguments are bound.

    `name` is what the watcher is told. `part` is kept, for the caller to delete, as pooch deletes
    the output where its checksum is wrong. `checked` tells that the checksum is known; then a part
    is continued even where the server does not say whether the file is still the same. Raises
    `UserError`.
    """
    import requests

    def reached() -> int:
        return part.stat().st_size if part.exists() else 0

    part.parent.mkdir(parents=True, exist_ok=True)
    with requests.Session() as session:
        retry(lambda: _continue_part(session, url, part, checked, name, watcher), watcher, reached)
    link_or_copy(part, Path(output_file))


def discard_part(part: Path) -> None:
    """Delete a part, if there is one, with what is known of it."""
    part.unlink(missing_ok=True)
    _sidecar(part).unlink(missing_ok=True)


def link_or_copy(file: Path, target: Path) -> None:
    """The same file under a second name, in place of what is there."""
    target.unlink(missing_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(file, target)


def resolve_address(url: str, watcher: DownloadListener) -> tuple[str, str | None]:
    """Where a file lies, and its checksum if the record of a DOI tells one.

    Anything but ``doi:10.…/file name`` is its own address. Raises `UserError`, whatever doi.org and
    the repository answer.
    """
    if not url.startswith("doi:"):
        return url, None
    return retry(lambda: _ask_doi_record(url), watcher)


def _ask_doi_record(url: str) -> tuple[str, str | None]:
    import requests
    from pooch.downloaders import doi_to_repository
    from pooch.utils import parse_url

    try:
        parsed = parse_url(url)
        doi, name = parsed["netloc"], parsed["path"].removeprefix("/")
        # a repository's class looks at no status, and a busy one's answer lists no files
        options = {"headers": HEADERS, "timeout": TIMEOUT, "hooks": {"response": _refuse_busy}}
        repository = doi_to_repository(doi, **options)
        record = SimpleNamespace(registry={})
        repository.populate_registry(record)
        checksum = record.registry.get(name, "")
        is_md5 = re.fullmatch("md5:[0-9a-f]{32}", checksum)
        return repository.download_url(name), checksum if is_md5 else None
    except requests.HTTPError as error:
        raise UserError(f"{url}: {status_text(error.response)}") from error
    except requests.JSONDecodeError as error:
        raise UserError(f"{url}: the repository's answer is not JSON") from error
    except requests.RequestException as error:
        raise request_error(error) from error
    except ValueError as error:  # pooch's words: an unknown repository, or no such file
        raise UserError(f"{url}: {str(error).rstrip('.')}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{url}: the repository's answer lists no files") from error


def _refuse_busy(response: "Response", *_: object, **__: object) -> None:
    if response.status_code in BUSY:
        raise RetryError(status_text(response), retry_after(response))


def retry(
    action: Callable[[], T], watcher: DownloadListener, reached: Callable[[], int] = lambda: 0
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
            watcher.say(f"{again}: trying again in {wait:.0f} s.")
        time.sleep(wait)


def _continue_part(
    session: "Session", url: str, part: Path, checked: bool, name: str, watcher: DownloadListener
) -> None:
    """Bring the part to its end, or raise."""
    import requests
    from urllib3.exceptions import HTTPError

    start, version = _resumable_part(part, url, checked)
    headers = {**HEADERS, "Accept-Encoding": "identity"}  # ranges are of what is sent
    if start:
        headers["Range"] = f"bytes={start}-"
    if start and version:
        headers["If-Range"] = version
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            start, total = _body_range(response, url, part, start, version)
            if start and start == total:
                return
            check_space(part.parent, (total or start) - start)
            with part.open("ab" if start else "wb") as file:
                watcher.bytes(name, start, total)
                # not decoded: some servers call a .gz file an encoding
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    file.write(chunk)
                    start += len(chunk)
                    watcher.bytes(name, start, total)
    except requests.RequestException as error:
        raise request_error(error) from error
    except HTTPError as error:  # urllib3's, from the stream
        host = host_name(url)
        raise RetryError(f"the connection to {host} was cut after {start} bytes") from error
    if total is not None and start != total:
        if start > total:
            discard_part(part)
        raise RetryError(f"{host_name(url)} sent {start} bytes of {total}")


def _body_range(
    response: "Response", url: str, part: Path, start: int, version: str | None
) -> tuple[int, int | None]:
    """Where the body of an answer starts and where the file ends. Raises where it is no file."""
    status, headers = response.status_code, response.headers
    if status == 416 and start:
        if _content_range(headers)[1] == start:
            return start, start
        discard_part(part)
        raise RetryError(f"{host_name(url)} has another file than before", 0)
    if status in BUSY:
        raise RetryError(status_text(response), retry_after(response))
    if status not in (200, 206):
        raise UserError(status_text(response))
    if headers.get("Content-Type", "").startswith("text/html"):
        raise UserError(f"{response.url} is a web page, not the file")
    now = _version(headers)
    if status == 206:
        begin, total = _content_range(headers)
        if begin != start or (version and now and version != now):
            discard_part(part)
            raise RetryError(f"{host_name(url)} sent another part than asked for", 0)
        return start, total
    discard_part(part)
    _sidecar(part).write_text(json.dumps({"url": url, "version": now}), encoding="utf-8")
    length = headers.get("Content-Length", "")
    if length == "0":
        raise UserError(f"{response.url} is empty")
    return 0, int(length) if length.isdigit() else None


def _sidecar(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _resumable_part(part: Path, url: str, checked: bool) -> tuple[int, str | None]:
    """The bytes of a part that may be continued, and the version of the file that they are of."""
    try:
        known = json.loads(_sidecar(part).read_bytes())
        version = known["version"]
        if known["url"] == url and (isinstance(version, str) or (version is None and checked)):
            return part.stat().st_size, version
    except (OSError, ValueError, LookupError, TypeError):  # absent or damaged
        pass
    discard_part(part)
    return 0, None


def _version(headers: Any) -> str | None:
    """What an If-Range may hold: a strong ETag or a date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _content_range(headers: Any) -> tuple[int | None, int | None]:
    """The first byte and the length of the whole: ``bytes 5-9/10``, ``bytes */10``."""
    span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    return int(first) if first.isdigit() else None, int(total) if total.isdigit() else None


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
    """What to raise for an exception of requests."""
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
