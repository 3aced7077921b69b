"""The runner: what is not stored yet is run by an executor, and stored."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from emsym.errors import UserError
from emsym.output_folder import OutputFolder
from emsym.run.executors.base import CHECK_EVERY, Pool
from emsym.run.executors.local import Timed, WorkerDied
from emsym.run.job import Job
from emsym.run.listener import RunListener
from emsym.run.store.claims import Claims
from emsym.run.store.record import Record, record_of
from emsym.run.store.store import Store
from emsym.run.workers import tasks
from emsym.run.workers.devices import Devices, OnDevice

ASK = 3.0
"""Seconds between two looks at what other runs are at."""


@dataclass
class Outcome:
    """The records of the cells that were run, and the cells that other runs finished."""

    records: list[Record] = field(default_factory=list)
    elsewhere: list[Job] = field(default_factory=list)
    """Cells that other runs on the same store finished meanwhile."""

    @property
    def failed(self) -> list[Record]:
        """The records of cells that failed."""
        return [record for record in self.records if record.status == "failed"]


def run_jobs(
    jobs: list[Job],
    wrong: Mapping[str, str],
    output: OutputFolder,
    pool: Pool,
    listener: RunListener,
    *,
    devices: Devices = Devices("cpu"),  # noqa: B008 - immutable
    keep_networks: bool = False,
    training_logs: bool = False,
    timeout: float | None = None,
    cost: Callable[[Job], float] = lambda job: 1.0,
) -> Outcome:
    """Run all jobs and store each record as it comes.

    `wrong` is what `emsym.run.preflight.check_jobs` told: the keys of those that cannot be run,
    which fail at once, and why. The trained networks and the logs of their training are kept where
    `keep_networks` and `training_logs` say so, and what each makes of one test section always. A
    cell that takes longer than `timeout` seconds is ended; `cost` is about how long one takes.

    Ctrl-C lets the cells that run be finished and stored, a second one does not: then
    `KeyboardInterrupt` is raised. Raises `UserError` where the store cannot be written, or the
    executor is lost. Every finished record is in the store by then.
    """
    outcome, store = Outcome(), Store(output.records)
    listener.phase("cells", [cost(job) for job in jobs])
    task = Timed(OnDevice(tasks.run_cell, devices), timeout)

    def start(job: Job) -> Future:
        return pool.executor.submit(task, job, output, keep_networks, training_logs)

    with Claims(store.folder) as claims, _draining(listener) as stopping:
        for job, record in _cells(jobs, wrong, store, claims, pool, stopping, start):
            if record is None:
                outcome.elsewhere.append(job)
                listener.advance(str(job), cost(job))
                continue
            store.save(record)
            outcome.records.append(record)
            listener.advance(str(job), cost(job), record.error)
    if stopping.is_set():
        raise KeyboardInterrupt
    return outcome


def _cells(
    jobs: list[Job],
    wrong: Mapping[str, str],
    store: Store,
    claims: Claims,
    pool: Pool,
    stopping: threading.Event,
    start: Callable[[Job], Future],
) -> Iterator[tuple[Job, Record | None]]:
    """Yield the jobs with their records as they end; None where another run has stored one."""
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
                yield job, record_of(job, status="failed", error=wrong[job.key])
            else:
                batch.append(job)
        if batch:
            submit(batch)
        if stopping.is_set():
            running = {future: job for future, job in running.items() if not future.cancel()}
        if not running:
            time.sleep(0 if waiting else CHECK_EVERY)
            continue
        done, _ = wait(running, timeout=CHECK_EVERY, return_when=FIRST_COMPLETED)
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
    """Return the record that a cell gave, or that of its failure."""
    error = future.exception()
    if error is None:
        record: Record = future.result()
        return record
    plain = isinstance(error, WorkerDied | UserError)
    why = str(error) if plain else f"{type(error).__name__}: {error}"
    seconds = {"until it failed": round(time.monotonic() - started[job.key], 3)}
    return record_of(job, status="failed", error=why, seconds=seconds)


@contextmanager
def _draining(listener: RunListener) -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C sets; the second one raises `KeyboardInterrupt`."""
    stopping = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        listener.say("Stopping: what runs is finished first; Ctrl-C again stops at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)
