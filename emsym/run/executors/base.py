"""What every executor is given and gives: a `Setup` in, a `Pool` out."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from emsym.run.executors.local import Note


@dataclass(frozen=True)
class Setup:
    """What a user says of where and how cells are run."""

    workers: int
    """Processes on this machine; on a cluster, those that are asked for of a job queue."""
    threads: int = 1
    """Of one cell, on the processor."""
    memory: int | None = None
    """Bytes that one process may hold; by default its share of its machine's."""
    plugins: tuple[Path, ...] = ()
    notice: Callable[[Note], object] = lambda note: None
    scheduler: str | None = None
    """The address of a scheduler that runs already."""
    cluster: Path | None = None
    """A file that says how workers are asked for of a job queue."""


@dataclass(frozen=True)
class Pool:
    """An executor, and what a run must know of it beyond Python's interface."""

    executor: Executor
    places: int
    """How many tasks run at once, as far as it is known."""
    stop: Callable[[], object]
    """End all tasks now."""
    check: Callable[[], object] = lambda: None
    """Raises `UserError` where nothing can be expected of it any more."""


Opener = Callable[[Setup], AbstractContextManager[Pool]]
