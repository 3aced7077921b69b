"""Which cells of a protocol are stored, and which are to be run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from emsym.models.inits import init_source
from emsym.protocol import SHAPLEY, SHAPLEY_SLICES, Protocol
from emsym.run.executors.local import LocalExecutor, Timed
from emsym.run.job import Job
from emsym.run.store.store import Store
from emsym.run.workers.wrong_shape import wrong_shape

PATIENCE = 60.0
"""Seconds that the shape of one strategy's weights may take, imports included."""


@dataclass(frozen=True)
class Plan:
    """The cells of a protocol, sorted by what has become of them."""

    stored: list[Job]
    failed: list[Job]
    missing: list[Job]
    damaged: list[Path]
    """Records that are not whole, of any cells; what they were of counts as missing."""


def wrong_shapes(protocol: Protocol, plugins: Sequence[Path]) -> dict[str, str]:
    """Return which strategies of plug-ins give another shape than they should, and what they give.

    They are tried in a worker, which is started where there are any: what a stranger's function
    does ends that alone. One that fails or takes long is left to the check of its networks.
    """
    wrong: dict[str, str] = {}
    names = [name for name in protocol.inits if init_source(name) is not None]
    if not names:
        return wrong
    slices = dict.fromkeys(variant.slices for variant in protocol.variants())
    with LocalExecutor(1, plugins=plugins) as executor:
        for name, count in product(names, slices):
            trial = executor.submit(Timed(wrong_shape, PATIENCE), name, count)
            with suppress(Exception):
                if why := trial.result():
                    wrong[name] = why
    return wrong


def variant_notes(protocol: Protocol) -> list[str]:
    """Return what variants of a protocol lack of what it says, a sentence each."""
    return [
        f"{variant.name} is scored without {SHAPLEY}, which is for {SHAPLEY_SLICES} slices at most."
        for variant in protocol.variants()
        if SHAPLEY in set(protocol.scoring.attributions) - set(variant.scoring.attributions)
    ]


def plan(all_jobs: list[Job], store: Store) -> Plan:
    """Sort the jobs by what the store holds of them, without reading a record."""
    contents = store.contents()
    stored, failed, missing = [], [], []
    for job in all_jobs:
        if job.key in contents.done:
            stored.append(job)
        elif job.key in contents.failed:
            failed.append(job)
        else:
            missing.append(job)
    return Plan(stored, failed, missing, contents.damaged)
