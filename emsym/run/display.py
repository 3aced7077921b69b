"""How far a run is: a live table of its workers with the time left, or a line now and then."""

import logging
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from emsym.data.fetching.download_bar import DownloadBar
from emsym.errors import UserError, escape_unseen, one_line
from emsym.protocol import Protocol, list_protocols, load_protocol
from emsym.run.executors.base import Note
from emsym.run.job import Job
from emsym.run.listener import RunListener
from emsym.run.plan import Plan
from emsym.run.time_left import time_left
from emsym.wording import counted, duration

EVERY = 15.0
"""Seconds between two lines where there is no terminal."""
HEARTBEAT = 60.0
"""Seconds without a line, where there is no terminal, after which one says what goes on."""
SHOWN = 32
"""Workers in the table at the most."""


class RunDisplay(RunListener):
    """A live table on a terminal, plain lines elsewhere, and every event in a log file.

    Where there is no terminal, some line comes every minute, so that a log shows life.
    """

    def __init__(self, console: Console) -> None:
        """Nothing is shown before the first phase."""
        self._console, self._stored = console, 0
        self._log = _logger(None)
        self._lock = threading.Lock()
        self._name = ""
        self._costs = self._paid = 0.0
        self._left: list[float] = []  # the costs of what has not ended, in order
        self._total = self._done = self._failed = 0
        self._start = self._last_line = time.monotonic()
        self._workers: dict[str, tuple[Note, float]] = {}
        self._places = 0  # the most workers that were busy at once
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat_on, daemon=True)
        self._live = Live(
            console=console,
            get_renderable=self._table,
            refresh_per_second=4,
            transient=True,
            auto_refresh=console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Begin; the display starts with the first phase."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the display and leave the terminal as it was."""
        self._ended.set()
        self._live.stop()
        for handler in self._log.handlers:
            handler.close()
        self._log.handlers.clear()

    def log_to(self, path: Path) -> None:
        """Write every event to a file, too. Raises `UserError` where it cannot be written."""
        self._log = _logger(path)

    def downloading(self) -> DownloadBar:
        """Give a bar, which is shown while something is downloaded."""
        return DownloadBar(self._console)

    def planned(self, protocol: Protocol, plan: Plan, chosen: Sequence[Job]) -> None:
        """Show from now on how many cells were stored before."""
        self._stored = len(plan.stored)

    def phase(self, name: str, costs: Collection[float]) -> None:
        """Show that pieces of work begin, which take about so long, in any unit."""
        with self._lock:
            self._name, self._total, self._costs = name, len(costs), sum(costs)
            self._left = list(costs)
            self._done = self._failed = self._places = 0
            self._paid = 0.0
            self._start = self._last_line = time.monotonic()
        self._log.info("%s: %d", name, len(costs))
        if self._console.is_terminal:
            self._live.start()
        else:
            self._print(f"{name}: 0 of {len(costs)}")
            if not self._heart.is_alive() and not self._ended.is_set():
                self._heart.start()

    def advance(self, what: str, cost: float, error: str | None = None) -> None:
        """Show that one of them ended."""
        with self._lock:
            self._done += 1
            self._paid += cost
            with suppress(ValueError):  # of a piece that was not announced
                self._left.remove(cost)
            self._failed += error is not None
        if error is None:
            self._log.info("done: %s", what)
        else:
            self._log.error("failed: %s: %s", what, one_line(error))
        now = time.monotonic()
        is_last = self._done == self._total
        if not self._console.is_terminal and (is_last or now - self._last_line >= EVERY):
            self._last_line = now
            self._print(f"{self._name}: {self._summary()} ({what})")

    def log(self, text: str) -> None:
        """Write one sentence into the log, and show it nowhere."""
        self._log.info("%s", text)

    def say(self, text: str) -> None:
        """Show one sentence."""
        self._log.info("%s", text)
        self._print(text)

    def note(self, note: Note) -> None:
        """Show what a worker is doing; may be called from any thread."""
        with self._lock:
            before, since = self._workers.get(note.worker, (Note("", None), 0.0))
            if note.task is None:
                self._workers.pop(note.worker, None)
                return
            changed = before.task != note.task
            self._workers[note.worker] = note, time.monotonic() if changed else since
            self._places = max(self._places, len(self._workers))
        if changed:
            self._log.info("worker %s: %s", note.worker, note.task)

    def _beat_on(self) -> None:
        while not self._ended.wait(HEARTBEAT / 20):
            self._beat()

    def _beat(self) -> None:
        """Print what goes on, where no line has come for long."""
        with self._lock:
            now = time.monotonic()
            if self._done >= self._total or now - self._last_line < HEARTBEAT:
                return
            self._last_line = now
            text = f"{self._name}: {self._summary()}"
            if self._workers:
                first, _ = next(iter(self._workers.values()))
                more = f", and {len(self._workers) - 1} more" if len(self._workers) > 1 else ""
                text += f"; {first.phase} ({first.task}{more})"
        self._print(text)

    def _summary(self) -> str:
        took = time.monotonic() - self._start
        summary = f"{self._done} of {self._total}"
        if self._failed:
            summary += f", {self._failed} failed"
        summary += f" after {duration(took)}"
        if self._paid and self._done < self._total:
            now = time.monotonic()
            ages = [min(now - since, took) for _, since in list(self._workers.values())]
            left = time_left(self._left, self._paid, took, ages, self._places)
            summary += f", about {duration(left)} left"
        return summary

    def _table(self) -> RenderableType:
        with self._lock:
            if not self._name:
                return Text("")
            head = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=max(self._costs, 1e-9), completed=self._paid, width=24)
            stored = f" · {self._stored} stored before" if self._stored else ""
            head.add_row(self._name, bar, self._summary() + stored)
            if not self._workers:
                return head
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=True)
            table.add_column("worker", no_wrap=True)
            table.add_column("cell", ratio=1, no_wrap=True, overflow="ellipsis")
            table.add_column("at", no_wrap=True, min_width=18)
            table.add_column("for", justify="right", no_wrap=True)
            table.add_column("memory", justify="right", no_wrap=True)
            now = time.monotonic()
            for note, since in list(self._workers.values())[:SHOWN]:
                memory = f"{note.memory / 1e9:.1f} GB" if note.memory else ""
                memory += f" + GPU {note.gpu / 1e9:.1f} GB" if note.gpu else ""
                cells = (note.worker, note.task or "", note.phase, duration(now - since), memory)
                table.add_row(*map(Text, cells))
            more = len(self._workers) - SHOWN
            rest = [Text(f"and {counted(more, 'more worker')}")] if more > 0 else []
            return Group(head, table, *rest)

    def _print(self, text: str) -> None:
        text = escape_unseen(text)
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class RunCommandDisplay(RunDisplay):
    """The display of the command `run`, which also says what is planned, and writes a log."""

    def __init__(self, console: Console, log: Path | None) -> None:
        """`log` is written as soon as there is something to run."""
        super().__init__(console)
        self._log_path = log

    def planned(self, protocol: Protocol, plan: Plan, chosen: Sequence[Job]) -> None:
        """Print how many cells are stored and are run, and what the protocol is about."""
        super().planned(protocol, plan, chosen)
        count = len(plan.stored) + len(plan.missing) + len(plan.failed)
        text = f"{counted(count, 'cell')}, {len(plan.stored)} stored, {len(chosen)} to run"
        if len(chosen) < len(plan.missing) + len(plan.failed):
            text += f", {len(plan.failed)} failed earlier (--retry-failed runs them again)"
        self._print(f"Protocol {protocol.name}, version {protocol.version}: {text}.")
        if chosen:
            description = protocol.description
            if description and not _is_copied(protocol):
                self._console.print(description, style="dim", highlight=False, markup=False)
            if self._log_path is not None:
                self.log_to(self._log_path)


def _is_copied(protocol: Protocol) -> bool:
    """Whether the description is that of a protocol that ships with emsym, which this is not."""
    shipped = [load_protocol(name) for name in list_protocols()]
    alike = [each for each in shipped if each.description == protocol.description]
    return bool(alike) and protocol.name not in [each.name for each in alike]


def _logger(path: Path | None) -> logging.Logger:
    """A logger of this run's own, which writes to a file or nowhere."""
    logger = logging.Logger("emsym.run", logging.INFO)
    logger.addHandler(logging.NullHandler())  # without any, Python prints errors
    if path is None:
        return logger
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"The log {path} cannot be written: {error.strerror}.") from error
    handler.handleError = lambda record: None  # type: ignore[method-assign] # as of a full disk
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger
