"""A download is shown by a line now and then where there is no terminal."""

import io

import pytest
from rich.console import Console

from emsym.data.fetching import download_bar
from emsym.data.fetching.download_bar import EVERY, DownloadBar


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    clock = [0.0]
    monkeypatch.setattr(download_bar.time, "monotonic", lambda: clock[0])
    return clock


def test_lines_tell_megabytes_and_the_time_left(clock) -> None:
    output = io.StringIO()
    with DownloadBar(Console(file=output)) as bar:
        bar.bytes("volume.h5", 0, 100_000_000)
        clock[0] = EVERY / 2
        bar.bytes("volume.h5", 10_000_000, 100_000_000)
        assert output.getvalue() == ""
        clock[0] = EVERY
        bar.bytes("volume.h5", 25_000_000, 100_000_000)
    assert output.getvalue() == f"volume.h5: 25 of 100 MB, about {3 * EVERY:.0f} s left\n"


def test_a_size_that_nobody_told_is_left_out(clock) -> None:
    output = io.StringIO()
    with DownloadBar(Console(file=output)) as bar:
        bar.bytes("volume.h5", 0, None)
        clock[0] = EVERY
        bar.bytes("volume.h5", 3_000_000, None)
    assert output.getvalue() == "volume.h5: 3 MB\n"


def test_marks_in_a_name_are_no_markup() -> None:
    output = io.StringIO()
    DownloadBar(Console(file=output)).say("[red]a[/red] file")
    assert output.getvalue() == "[red]a[/red] file\n"
