"""Resolving DOIs: the address of a file in a repository's record, and its published checksum."""

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

from emsym.data.fetching.download_listener import DownloadListener
from emsym.data.fetching.http_retry import (
    BUSY,
    HEADERS,
    TIMEOUT,
    RetryError,
    request_error,
    retry,
    retry_after,
    status_text,
)
from emsym.data.fetching.redirects import refuse_private_redirect
from emsym.errors import UserError

if TYPE_CHECKING:
    from requests import Response


def resolve_address(url: str, listener: DownloadListener) -> tuple[str, str | None]:
    """Return where a file lies, and its checksum if the record of a DOI tells one.

    Anything but ``doi:10.…/file name`` is its own address. Raises `UserError`, whatever doi.org and
    the repository answer.
    """
    if not url.startswith("doi:"):
        return url, None
    return retry(lambda: _ask_doi_record(url), listener)


def _ask_doi_record(url: str) -> tuple[str, str | None]:
    import requests
    from pooch.downloaders import doi_to_repository
    from pooch.utils import parse_url

    try:
        parsed = parse_url(url)
        doi, name = parsed["netloc"], parsed["path"].removeprefix("/")
        # a repository's class looks at no status, and a busy one's answer lists no files
        hooks = [_refuse_busy, refuse_private_redirect]
        options = {"headers": HEADERS, "timeout": TIMEOUT, "hooks": {"response": hooks}}
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
