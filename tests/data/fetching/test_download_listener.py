"""Whoever hears of a run or shows a bar can be given to a download."""

import inspect

import pytest
from rich.console import Console

from emsym.data.fetching.download_bar import DownloadBar
from emsym.data.fetching.download_listener import DownloadListener
from emsym.run.listener import RunListener


@pytest.mark.parametrize("listener", [DownloadBar(Console()), RunListener()])
@pytest.mark.parametrize("method", ["bytes", "say"])
def test_listeners_take_what_a_download_tells(listener: DownloadListener, method: str) -> None:
    expected = list(inspect.signature(getattr(DownloadListener, method)).parameters)[1:]
    assert list(inspect.signature(getattr(listener, method)).parameters) == expected
