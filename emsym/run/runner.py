"""The runner: what is not stored yet is checked, run by an executor, and stored."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from emsym.errors import UserError
from emsym.run import tasks
from emsym.run.claims import Claims
from emsym.run.devices import Devices
from emsym.run.executors import Pool
from emsym.run.local import Timed, WorkerDied
from emsym.run.plan import Job
from emsym.run.record import Record
from emsym.run.store import Store
from emsym.run.timing import timed

LOOK = 0.5
"""Seconds after which Ctrl-C and a lost scheduler are noticed at the latest."""
PREPARING = 120.0
"""Seconds that a time limit leaves at least for what is made once, such as `pretext` weights."""
ASK = 3.0
"""Seconds between two looks at what other runs are at."""


class Progress(Protocol):
    """Who watches a run."""

    def phase(self, name: str, costs: Collection[float]) -> None:
        """Pieces of work begin, which take about so long, in any unit."""

    def advance(self, what: str, cost: float, error: str | None = None) -> None:
        """One of them ended."""

    def say(self, text: str) -> None:
        """One sentence for the user."""


@dataclass
class Outcome:
    """What became of the cells that were run, and the wall seconds of each phase."""

    records: list[Record] = field(default_factory=list)
    elsewhere: list[Job] = field(default_factory=list)
    """Cells that other runs on the same store finished meanwhile."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[Record]:
        """The records of cells that failed."""
        return [record for record in self.records if record.status == "failed"]


def run_jobs(
    jobs: list[Job],
    store: Store,
    pool: Pool,
    progress: Progress,
    *,
    devices: Devices = Devices("cpu"),  # noqa: B008 - immutable
    networks: Path | None = None,
    examples: Path | None = None,
    timeout: float | None = None,
    cost: Callable[[Job], float] = lambda job: 1.0,
) -> Outcome:
    """Run all jobs and store each record as it comes.

    The trained networks are kept in the folder `networks` where one is given, and what each makes
    of one test section in the folder `examples`. A cell that takes longer than `timeout` seconds is
    ended; `cost` is about how long one takes.

    First every data set, network and weights file is tried, so that what is wrong with one is
    told before anything is trained; this is also where `pretext` weights are made. What is wrong
    with all cells ends the run; what is wrong with some, or ends a worker, fails those cells.

    Ctrl-C lets the cells that run be finished and stored, a second one does not: then
    `KeyboardInterrupt` is raised. Raises `UserError` where nothing fits, the store cannot be
    written, or the executor is lost. Every finished record is in the store by then.
    """
    outcome = Outcome()
    if not jobs:
        return outcome
    store.check()
    with timed(outcome.seconds, "preparing data and weights"):
        wrong = _prepare(jobs, pool, progress, timeout)
    with timed(outcome.seconds, "training and scoring"):
        progress.phase("cells", [cost(job) for job in jobs])

        def start(job: Job) -> Future:
            task = Timed(tasks.run_cell, timeout)
            return pool.executor.submit(task, job, networks, examples, devices)

        with Claims(store.folder) as claims, _draining(pool, progress) as stopping:
            for job, record in _cells(jobs, wrong, store, claims, pool, stopping, start):
                if record is None:
                    outcome.elsewhere.append(job)
                    progress.advance(str(job), cost(job))
                    continue
                store.save(record)
                outcome.records.append(record)
                progress.advance(str(job), cost(job), record.error)
        if stopping.is_set():
            raise KeyboardInterrupt
    return outcome


def _prepare(
    jobs: list[Job], pool: Pool, progress: Progress, timeout: float | None
) -> dict[str, str]:
    """Try what the jobs need; the keys of those that cannot be run, and why."""
    checks = _checks(jobs)
    progress.phase("preparing", [1.0] * len(checks))

    def submit(check: _Check) -> Future:
        limit = None if timeout is None else max(timeout, PREPARING)
        return pool.executor.submit(Timed(check.function, limit), *check.args)

    pending = {submit(each): each for each in checks}
    wrong: dict[str, str] = {}
    refused = 0
    while pending:
        future = next(_finished(pending, pool))
        check = pending.pop(future)
        if future.cancelled():
            pool.check()
            raise UserError("The executor gave up before anything was tried: run it again.")
        error = future.exception()
        if isinstance(error, WorkerDied) and (parts := check.parts()):
            pending |= {submit(part): part for part in parts}  # which strategy was it?
            continue
        if error is not None:
            is_ours = isinstance(error, UserError)
            why = str(error) if is_ours else f"Preparing '{check.name}' failed: {error}."
            refused += is_ours * len(check.jobs)
            wrong.update({job.key: why for job in check.jobs})
        else:
            bad = future.result() or {}
            wrong.update(
                {job.key: bad[job.cell.init] for job in check.jobs if job.cell.init in bad}
            )
        progress.advance(check.name, 1.0)
    if len(wrong) == len(jobs) and refused >= len(jobs):
        raise UserError(next(iter(wrong.values())))
    return wrong


def _cells(
    jobs: list[Job],
    wrong: dict[str, str],
    store: Store,
    claims: Claims,
    pool: Pool,
    stopping: threading.Event,
    start: Callable[[Job], Future],
) -> Iterator[tuple[Job, Record | None]]:
    """The jobs with their records as they end; None where another run has stored one."""
    waiting, theirs = deque(jobs), deque[Job]()
    running: dict[Future, Job] = {}
    started: dict[str, float] = {}
    asked = -ASK

    def submit(batch: list[Job]) -> None:
        got = claims.claim([job.key for job in batch], [job.key for job in running.values()])
        for job in batch:
            if job.key in got:
                started[job.key] = time.monotonic()
                running[start(job)] = job
            else:
                theirs.append(job)

    while running or ((waiting or theirs) and not stopping.is_set()):
        room = pool.places + 1 - len(running)  # one lies ready for whoever ends first
        batch: list[Job] = []
        if not waiting and theirs and room > 0 and time.monotonic() - asked > ASK:
            asked = time.monotonic()
            waiting, theirs = theirs, deque()
        while waiting and len(batch) < room and not stopping.is_set():
            job = waiting.popleft()
            if store.path(job.key).is_file():
                yield job, None
            elif job.key in wrong:
                yield job, job.record(status="failed", error=wrong[job.key])
            else:
                batch.append(job)
        if batch:
            submit(batch)
        if stopping.is_set():
            running = {future: job for future, job in running.items() if not future.cancel()}
        if not running:
            time.sleep(0 if waiting else LOOK)
            continue
        done, _ = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED)
        if not done:
            pool.check()
        for future in done:
            job = running.pop(future)
            if future.cancelled():  # not by us: who was to run it is lost, or it is run again
                pool.check()
                waiting.append(job)
            else:
                yield job, _record(future, job, started)


def _record(future: Future, job: Job, started: dict[str, float]) -> Record:
    """What a cell gave, or the record of its failure."""
    error = future.exception()
    if error is None:
        record: Record = future.result()
        return record
    plain = isinstance(error, WorkerDied | UserError)
    why = str(error) if plain else f"{type(error).__name__}: {error}"
    seconds = {"until it failed": round(time.monotonic() - started[job.key], 3)}
    return job.record(status="failed", error=why, seconds=seconds)


@contextmanager
def _draining(pool: Pool, progress: Progress) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one raises `KeyboardInterrupt`."""
    stopping = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        progress.say("Stopping: what runs is finished first; Ctrl-C again stops at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class _Check:
    """What some jobs need, and how it is tried."""

    name: str
    function: Callable[..., dict[str, str] | None]
    """Raises what is wrong with all of them; returns what is wrong with some strategies."""
    args: tuple[Any, ...]
    jobs: list[Job]

    def parts(self) -> "list[_Check]":
        """The same for each strategy alone; nothing where there is one, or none is asked for."""
        inits = dict.fromkeys(job.cell.init for job in self.jobs)
        if self.function is not tasks.check_model or len(inits) < 2:
            return []
        name, _, *settings = self.args
        return [
            _Check(
                name,
                self.function,
                (name, (init,), *settings),
                [job for job in self.jobs if job.cell.init == init],
            )
            for init in inits
        ]


def _checks(jobs: list[Job]) -> list[_Check]:
    """One for each network and each data set of the jobs."""
    networks: dict[tuple, list[Job]] = {}
    data: dict[tuple, list[Job]] = {}
    for job in jobs:
        protocol, patch = job.protocol, job.protocol.recipe.patch
        settings = (protocol.slices, job.weights, patch, protocol.scoring.maps)
        networks.setdefault((job.cell.architecture, *settings), []).append(job)
        volume = (job.card, protocol.slices, patch, protocol.border)
        data.setdefault(volume, []).append(job)

    def inits(needing: list[Job]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(job.cell.init for job in needing))

    return [
        *(
            _Check(name, tasks.check_model, (name, inits(those), *settings), those)
            for (name, *settings), those in networks.items()
        ),
        *(
            _Check(card.name, tasks.check_dataset, (card.name, card, *settings), those)
            for (card, *settings), those in data.items()
        ),
    ]


def _finished(pending: Collection[Future], pool: Pool) -> Iterator[Future]:
    """The futures as they end; wakes up often enough to notice Ctrl-C everywhere."""
    left = set(pending)
    while left:
        done, left = wait(left, timeout=LOOK, return_when=FIRST_COMPLETED)
        if not done:
            pool.check()
        yield from done
