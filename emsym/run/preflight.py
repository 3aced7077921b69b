"""The check before a run's first cell: every data set, network and weights file is tried."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from emsym.errors import UserError
from emsym.run.executors.base import CHECK_EVERY, Pool
from emsym.run.executors.local import Timed, WorkerDied
from emsym.run.job import Job
from emsym.run.listener import RunListener
from emsym.run.workers import tasks

PREPARING = 120.0
"""Seconds that a time limit leaves at least for what is made once, such as `pretext` weights."""


def check_jobs(
    jobs: list[Job], pool: Pool, listener: RunListener, timeout: float | None
) -> dict[str, str]:
    """Try what the jobs need; return the keys of those that cannot be run, and why.

    Every data set, network and weights file is tried, so that what is wrong with one is told before
    anything is trained; this is also where `pretext` weights are made. What is wrong with some
    jobs, or ends a worker, is returned. Raises `UserError` for what is wrong with all of them.
    """
    checks = _checks(jobs)
    listener.phase("preparing", [1.0] * len(checks))

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
        listener.advance(check.name, 1.0)
    if len(wrong) == len(jobs) and refused >= len(jobs):
        raise UserError(next(iter(wrong.values())))
    return wrong


@dataclass(frozen=True)
class _Check:
    """A thing that some jobs need, and how it is tried."""

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
        settings = (protocol.slices, job.weights, patch, protocol.scoring.maps, job.offline)
        networks.setdefault((job.cell.architecture, *settings), []).append(job)
        volume = (job.card.of_seed(job.cell.seed), protocol.slices, patch, protocol.border)
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
        done, left = wait(left, timeout=CHECK_EVERY, return_when=FIRST_COMPLETED)
        if not done:
            pool.check()
        yield from done
