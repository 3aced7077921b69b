"""Redirects: none leads from a public address into this machine or its own network."""

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from emsym.errors import UserError, escape_unseen

if TYPE_CHECKING:
    from requests import Response


def refuse_private_redirect(response: "Response", *_: object, **__: object) -> None:
    """Raise `UserError` where an answer leads from a public to a private address.

    A hook of requests, called with every answer. Whoever names a private address himself, as that
    of a mirror at home, may be led on within such.
    """
    if not response.is_redirect:
        return
    target = urljoin(response.url, response.headers["Location"])
    if _is_private(urlsplit(target).hostname) and not _is_private(urlsplit(response.url).hostname):
        raise UserError(
            f"{response.url} leads on to {escape_unseen(target)[:200]}, which is in this machine "
            "or its own network, and was not followed"
        )


def _is_private(host: str | None) -> bool:
    """Return whether a name stands for an address that the public cannot reach.

    Names that cannot be looked up here, as behind a proxy, do not.
    """
    if not host:
        return False
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return any(
        not ipaddress.ip_address(str(each).partition("%")[0]).is_global for each in addresses
    )
