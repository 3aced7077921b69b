"""A redirect may not lead a download from the internet into this machine or its network."""

import pytest
from requests import Response

from emsym.data.fetching import redirects
from emsym.data.fetching.redirects import refuse_private_redirect
from emsym.errors import UserError


def answer(url: str, location: str) -> Response:
    response = Response()
    response.url, response.status_code = url, 302
    response.headers["Location"] = location
    return response


@pytest.mark.parametrize(
    "target",
    [
        *("http://127.0.0.1/x", "http://10.0.0.7:8080/", "http://192.168.1.1/", "//169.254.1.2/"),
        *("http://[::1]/x", "http://localhost:9/", "http://[fd00::1]/", "http://0.0.0.0/"),
    ],
)
def test_a_public_address_leads_to_no_private_one(target: str) -> None:
    with pytest.raises(UserError, match="was not followed"):
        refuse_private_redirect(answer("https://8.8.8.8/a", target))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://8.8.8.8/a", "https://8.8.4.4/b"),
        ("https://8.8.8.8/a", "/b"),
        ("http://127.0.0.1:1/a", "http://localhost:2/b"),  # a mirror of one's own
        ("http://127.0.0.1:1/a", "https://8.8.8.8/b"),
    ],
)
def test_other_redirects_are_followed(url: str, target: str) -> None:
    refuse_private_redirect(answer(url, target))


def test_an_answer_that_is_no_redirect_is_left_alone() -> None:
    response = answer("https://8.8.8.8/a", "http://127.0.0.1/")
    response.status_code = 200
    refuse_private_redirect(response)


def test_a_name_that_cannot_be_looked_up_is_left_to_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such name")

    monkeypatch.setattr(redirects.socket, "getaddrinfo", fail)
    refuse_private_redirect(answer("https://example.org/a", "https://example.com/b"))
