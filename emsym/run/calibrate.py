"""The time of a cell that no record tells, from some steps of its training and some sections."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from emsym.data.fetching.data_digest import data_digest
from emsym.run.estimate import Pair, Seen, pair_of
from emsym.run.executors.base import Pool
from emsym.run.job import Job
from emsym.run.store.record import Record
from emsym.run.workers import tasks
from emsym.run.workers.devices import Devices, OnDevice

STEPS = 6
"""Steps of training; the first is slower than those that follow."""
STACKS = 2
"""Test stacks that are scored."""


def calibrate(
    missing: Iterable[Job],
    known: Iterable[Pair],
    pool: Pool,
    devices: Devices,
    tell: Callable[[str], object] = lambda text: None,
) -> tuple[dict[Pair, list[Seen]], dict[Pair, str]]:
    """Run a short cell of each pair of data set and architecture that is not known.

    One after the other, so that they do not slow each other down. Returns what a whole cell of
    each pair is reckoned to take, and why one could not be run.
    """
    first: dict[Pair, Job] = {}
    for job in missing:
        first.setdefault(pair_of(job), job)
    seen: dict[Pair, list[Seen]] = {}
    failed: dict[Pair, str] = {}
    for which in first.keys() - set(known):
        job = first[which]
        tell(f"{job.cell.dataset} · {job.cell.architecture}")
        try:
            task = OnDevice(tasks.run_cell, devices)
            record = pool.executor.submit(task, _short(job), None, False, False).result()
        except Exception as error:  # whatever ended the worker
            failed[which] = str(error)
            continue
        if record.status == "done":
            seen[which] = [_whole(job, record)]
        else:
            failed[which] = record.error or ""
    return seen, failed


def _short(job: Job) -> Job:
    """The same cell, trained for some steps and scored on some sections."""
    start, stop = job.card.split.test
    depth = min(stop - start, STACKS + 2 * _edge(job))
    split = job.card.split.model_copy(update={"test": (start, start + depth)})
    card = job.card.model_copy(update={"split": split})
    recipe = job.protocol.recipe.model_copy(update={"steps": min(STEPS, job.protocol.recipe.steps)})
    scoring = job.protocol.scoring.model_copy(update={"over_training": None})
    protocol = job.protocol.model_copy(update={"recipe": recipe, "scoring": scoring})
    return replace(job, protocol=protocol, card=card, data_digest=data_digest(card))


def _edge(job: Job) -> int:
    """Sections at either end of a split that no stack is centred on."""
    return job.protocol.slices // 2 if job.protocol.border == "skip" else 0


def _whole(job: Job, short: Record) -> Seen:
    start, stop = job.card.split.test
    stacks = stop - start - 2 * _edge(job)
    scored = len(short.images["section"])
    protocol, seconds = job.protocol, short.seconds
    steps = protocol.recipe.steps / min(STEPS, protocol.recipe.steps)
    over = protocol.scoring.over_training
    looked = len(over.steps) * min(over.sections, stacks) if over else 0
    faithful = min(protocol.scoring.faithfulness.sections, stacks)
    times = {
        "data": 1.0,
        "train": steps,
        "symmetry": (stacks + looked) / scored,
        "arand": stacks / scored,
        "faithfulness": faithful / min(scored, faithful),
    }
    total = math.fsum(taken * times.get(phase, 1.0) for phase, taken in seconds.items())
    size = len(short.model_dump_json(indent=1)) * stacks / scored
    return Seen(total, round(size))
