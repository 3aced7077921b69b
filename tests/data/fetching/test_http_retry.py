"""An action is repeated while it gets on or may go well later, and given up in one sentence."""

import pytest
import requests

from emsym.data.fetching import http_retry
from emsym.data.fetching.http_retry import RetryError, request_error, retry
from emsym.errors import UserError


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(http_retry.time, "sleep", waits.append)
    return waits


def failing(times: int, wait: float | None = None):
    """An action that fails so many times before it answers."""
    left = [RetryError("busy", wait)] * times

    def action() -> str:
        if left:
            raise left.pop()
        return "answer"

    return action


def test_waits_double_where_the_server_says_nothing(waits, notes) -> None:
    assert retry(failing(3), notes) == "answer"
    assert waits == [http_retry.BACKOFF * factor for factor in (1, 2, 4)]
    assert len(notes.said) == 3


def test_the_server_s_wait_is_kept(waits, notes) -> None:
    assert retry(failing(2, wait=7.0), notes) == "answer"
    assert waits == [7.0, 7.0]


def test_a_server_that_asks_for_too_long_is_not_waited_for(waits, notes) -> None:
    with pytest.raises(UserError, match="busy, and asks to wait 9999 s"):
        retry(failing(1, wait=9999.0), notes)
    assert not waits


def test_it_is_given_up_after_some_tries_without_progress(waits, notes) -> None:
    with pytest.raises(UserError, match=r"^busy$"):
        retry(failing(http_retry.TRIES), notes)
    sizes = iter(range(0, 99 * http_retry.STRIDE, http_retry.STRIDE))
    assert retry(failing(2 * http_retry.TRIES), notes, lambda: next(sizes)) == "answer"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.Timeout(), RetryError),
        (requests.ConnectionError(), RetryError),
        (requests.exceptions.ChunkedEncodingError(), RetryError),
        (requests.exceptions.SSLError(), UserError),
        (requests.exceptions.ProxyError(), UserError),
        (requests.exceptions.InvalidURL(), UserError),
    ],
)
def test_only_failures_of_the_moment_are_tried_again(error, kind) -> None:
    assert type(request_error(error)) is kind
