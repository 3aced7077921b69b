"""The display of a download: a live bar with the time left, or a line now and then."""

import time
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

EVERY = 15.0
"""Seconds between two lines where there is no terminal."""


class DownloadBar:
    """A progress bar for each file on a terminal; plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown before the first byte."""
        self._console = console
        self._live = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TextColumn("·"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: progress.TaskID | None = None
        self._name = ""
        self._start = self._said = 0.0
        self._from = 0

    def __enter__(self) -> Self:
        """Start the display."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the display and leave the terminal as it was."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def bytes(self, name: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` bytes of a file have come."""
        now = time.monotonic()
        if name != self._name or self._task is None:
            if self._task is not None:
                self._live.remove_task(self._task)
            self._task = self._live.add_task(name, total=total)
            self._name, self._from = name, done
            self._start = self._said = now
        self._live.update(self._task, completed=done, total=total)
        if not self._console.is_terminal and now - self._said >= EVERY:
            self._said = now
            speed = (done - self._from) / (now - self._start)
            left = f" of {total / 1e6:.0f}" if total else ""
            wait = f", about {(total - done) / speed:.0f} s left" if total and speed else ""
            self.say(f"{name}: {done / 1e6:.0f}{left} MB{wait}")
