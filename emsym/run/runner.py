"""The runner: what is not stored yet is checked, run in worker processes, and stored."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from emsym.errors import UserError
from emsym.run import tasks
from emsym.run.plan import Job
from emsym.run.record import Record
from emsym.run.store import Store
from emsym.run.timing import timed


class Progress(Protocol):
    """Who watches a run."""

    def phase(self, name: str, total: int) -> None:
        """`total` pieces of work begin."""

    def advance(self, what: str) -> None:
        """One of them is done."""


@dataclass
class Outcome:
    """What became of the cells that were run, and the wall seconds of each phase."""

    records: list[Record] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[Record]:
        """The records of cells that failed."""
        return [record for record in self.records if record.status == "failed"]


def default_workers(threads: int) -> int:
    """As many processes of `threads` threads as the cores that this process may use allow."""
    available = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return max(1, len(available) // threads)


def run_jobs(
    jobs: list[Job],
    store: Store,
    progress: Progress,
    workers: int,
    plugins: tuple[Path, ...] = (),
    networks: Path | None = None,
    examples: Path | None = None,
) -> Outcome:
    """Run all jobs in worker processes and store each record as it comes.

    The trained networks are kept in the folder `networks` where one is given, and what each makes
    of one test section in the folder `examples`.

    First every data set, network and weights file is tried, so that what is wrong with one is
    told before anything is trained; this is also where `pretext` weights are made.

    Raises `UserError` where one does not fit, the store cannot be written, or a worker dies;
    `KeyboardInterrupt` passes through. Either way the workers are ended, and every finished
    record is in the store.
    """
    outcome = Outcome()
    if not jobs:
        return outcome
    store.check()
    with _pool(min(workers, len(jobs)), plugins) as submit:
        with timed(outcome.seconds, "preparing data and weights"):
            checks = _checks(jobs)
            progress.phase("preparing", len(checks))
            pending = {submit(check, *args): name for check, *args, name in checks}
            for future in _finished(pending):
                future.result()
                progress.advance(pending[future])
        with timed(outcome.seconds, "training and scoring"):
            progress.phase("cells", len(jobs))
            running = {submit(tasks.run_cell, job, networks, examples): job for job in jobs}
            for future in _finished(running):
                record = future.result()
                store.save(record)
                outcome.records.append(record)
                progress.advance(str(running[future].cell))
    return outcome


def _checks(jobs: list[Job]) -> list[tuple[Any, ...]]:
    """(function, its arguments …, name) for each network and data set of the jobs."""
    networks: dict[tuple, dict[str, None]] = {}
    cards = {}
    for job in jobs:
        protocol, scoring = job.protocol, job.protocol.scoring
        key = (
            job.cell.architecture,
            protocol.slices,
            job.weights,
            protocol.recipe.patch,
            scoring.maps,
        )
        networks.setdefault(key, {})[job.cell.init] = None
        cards[job.card] = protocol
    return [
        *(
            (tasks.check_model, architecture, tuple(inits), *settings, architecture)
            for (architecture, *settings), inits in networks.items()
        ),
        *(
            (
                tasks.check_dataset,
                card,
                protocol.slices,
                protocol.recipe.patch,
                protocol.border,
                card.name,
            )
            for card, protocol in cards.items()
        ),
    ]


@contextmanager
def _pool(workers: int, plugins: tuple[Path, ...]) -> Iterator[Callable[..., Future]]:
    """A pool of fresh processes that ends at once, with its workers, when anything goes wrong."""
    # Ending a worker that has imported tqdm leaves its lock to Python's tracker, which removes it
    # and warns of it on the terminal: nothing that a user need know.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=tasks.start_worker,
        initargs=(plugins,),
    )

    def submit(function: Callable, *args: Any) -> Future:
        # A worker is started here, and inherits that Ctrl-C is ignored: a signal that reached it
        # while it imports its modules would print a traceback of its own.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return pool.submit(function, *args)
        finally:
            signal.signal(signal.SIGINT, before)

    try:
        yield submit
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died, most often because memory ran out: run the same command again "
            "with fewer --workers; every finished record is kept."
        ) from error
    except BaseException:
        # not kept waiting for cells that nobody will read
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(pending: dict[Future, Any]) -> Iterator[Future]:
    """The futures as they end; wakes up often enough to notice Ctrl-C everywhere."""
    left = set(pending)
    while left:
        done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
        yield from done
