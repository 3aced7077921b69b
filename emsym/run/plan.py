"""Which cells of a protocol are stored, and which are to be run."""

from dataclasses import dataclass
from pathlib import Path

from emsym.models.inits import init_source, parse_init
from emsym.protocol import Protocol
from emsym.run.job import Job
from emsym.run.store.store import Store


@dataclass(frozen=True)
class Plan:
    """The cells of a protocol, sorted by what has become of them."""

    stored: list[Job]
    failed: list[Job]
    missing: list[Job]
    damaged: list[Path]
    """Records that are not whole, of any cells; what they were of counts as missing."""


def wrong_shapes(protocol: Protocol) -> dict[str, str]:
    """Return which strategies of plug-ins give another shape than they should, and what they give.

    Torch is imported where there are any.
    """
    wrong = {}
    for name in protocol.inits:
        if init_source(name) is not None:
            from emsym.models.stem.fill import wrong_shape

            if why := wrong_shape(parse_init(name), protocol.slices):
                wrong[name] = why
    return wrong


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
