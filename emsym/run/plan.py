"""Which cells a protocol comes to, under which keys, and which of them are stored."""

from dataclasses import dataclass
from pathlib import Path

from emsym.run.job import Job
from emsym.run.store.store import Store


@dataclass(frozen=True)
class Plan:
    """The cells of a protocol, apart by what has become of them."""

    stored: list[Job]
    failed: list[Job]
    missing: list[Job]
    damaged: list[Path]
    """Records that are not whole, of any cells; what they were of counts as missing."""


def plan(all_jobs: list[Job], store: Store) -> Plan:
    """What of the jobs is stored, without reading a record."""
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
