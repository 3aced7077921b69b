"""How far a run is: a live bar with the time left, or a line now and then."""

import time
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console
from rich.table import Column

EVERY = 15.0
"""Seconds between two lines where there is no terminal."""


class Bar:
    """A progress bar on a terminal; plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown before the first phase."""
        self._console = console
        self._live = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("·"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            progress.TextColumn(  # gets what room there is
                "{task.fields[last]}",
                style="dim",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
            disable=not console.is_terminal,
            expand=True,
            speed_estimate_period=300,
        )
        self._task: progress.TaskID | None = None
        self._name, self._total, self._done = "", 0, 0
        self._start = self._said = time.monotonic()

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

    def phase(self, name: str, total: int) -> None:
        """`total` pieces of work begin."""
        self._name, self._total, self._done = name, total, 0
        self._start = self._said = time.monotonic()
        self._task = self._live.add_task(name, total=total, last="")
        if not self._console.is_terminal:
            self._console.print(f"{name}: 0 of {total}", highlight=False)

    def advance(self, what: str) -> None:
        """One of them, `what`, is done."""
        assert self._task is not None
        self._done += 1
        self._live.update(self._task, advance=1, last=what)
        now = time.monotonic()
        last = self._done == self._total
        if not self._console.is_terminal and (last or now - self._said >= EVERY):
            self._said = now
            took = now - self._start
            left = took / self._done * (self._total - self._done)
            self._console.print(
                f"{self._name}: {self._done} of {self._total} after {took:.0f} s, "
                f"about {left:.0f} s left ({what})",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
