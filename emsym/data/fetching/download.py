"""Downloading one file: resumed after a cut, a kill or a restart, and never spliced.

What has come lies in a ``.part`` file. Beside it, in ``.part.json``, stands which address it is
from and the server's word for that version of the file, so that a changed file starts over.
"""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.data.fetching.disk_space import check_space
from emsym.data.fetching.download_listener import DownloadListener
from emsym.data.fetching.http_retry import (
    BUSY,
    HEADERS,
    TIMEOUT,
    RetryError,
    host_name,
    request_error,
    retry,
    retry_after,
    status_text,
)
from emsym.data.fetching.redirects import refuse_private_redirect
from emsym.errors import UserError

if TYPE_CHECKING:
    from requests import Response, Session


CHUNK = 1 << 16


def download(
    url: str,
    output_file: str,
    _pooch: object,
    *,
    name: str,
    part: Path,
    checked: bool,
    listener: DownloadListener,
) -> None:
    """Download a file: a custom downloader of pooch, once the named arguments are bound.

    `name` is what the listener is told. `part` is kept, for the caller to delete, as pooch deletes
    the output where its checksum is wrong. `checked` tells that the checksum is known; then a part
    is continued even where the server does not say whether the file is still the same. Raises
    `UserError`.
    """
    import requests

    def reached() -> int:
        return part.stat().st_size if part.exists() else 0

    part.parent.mkdir(parents=True, exist_ok=True)
    with requests.Session() as session:
        session.hooks["response"].append(refuse_private_redirect)
        retry(
            lambda: _continue_part(session, url, part, checked, name, listener), listener, reached
        )
    link_or_copy(part, Path(output_file))


def discard_part(part: Path) -> None:
    """Delete a part, if there is one, with what is known of it."""
    part.unlink(missing_ok=True)
    _sidecar(part).unlink(missing_ok=True)


def link_or_copy(file: Path, target: Path) -> None:
    """Put the same file under a second name, in place of what is there."""
    target.unlink(missing_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(file, target)


def _continue_part(
    session: "Session", url: str, part: Path, checked: bool, name: str, listener: DownloadListener
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
                listener.bytes(name, start, total)
                # not decoded: some servers call a .gz file an encoding
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    file.write(chunk)
                    start += len(chunk)
                    listener.bytes(name, start, total)
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
    """Return where the body of an answer starts and where the file ends; raise if it is no file."""
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
    """Return how many bytes of a part may be continued, and of which version of the file."""
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
    """Return what an If-Range header may hold: a strong ETag or a date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _content_range(headers: Any) -> tuple[int | None, int | None]:
    """Return the first byte and the length of the whole: ``bytes 5-9/10``, ``bytes */10``."""
    span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    return int(first) if first.isdigit() else None, int(total) if total.isdigit() else None
