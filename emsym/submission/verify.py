"""Cells of a submission run again, to see whether they give what it claims."""

import hashlib
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emsym.errors import UserError
from emsym.protocol import Cell, Protocol
from emsym.run.benchmark import run_benchmark
from emsym.run.job import Job, jobs
from emsym.run.listener import RunListener
from emsym.run.store.record import Record
from emsym.submission.pack import files_digest
from emsym.submission.read import Submission
from emsym.submission.schema import Row
from emsym.submission.validate import validate


@dataclass(frozen=True)
class ScoreMismatch:
    """A score of a cell as claimed and as found, and how far apart they may be."""

    score: str
    claimed: float
    found: float
    allowed: float

    @property
    def apart(self) -> float:
        """|claimed − found|; 0 where both are missing, and infinite where one is."""
        if math.isnan(self.claimed) or math.isnan(self.found):
            return 0.0 if math.isnan(self.claimed) and math.isnan(self.found) else math.inf
        return abs(self.claimed - self.found)

    @property
    def is_within(self) -> bool:
        """Whether they are close enough."""
        return self.apart <= self.allowed


@dataclass(frozen=True)
class Verified:
    """A cell that was run again, and each of its scores."""

    cell: Cell
    differences: list[ScoreMismatch]

    @property
    def beyond(self) -> list[ScoreMismatch]:
        """The scores that are not what was claimed, the furthest first."""
        far = [each for each in self.differences if not each.is_within]
        return sorted(far, key=lambda each: each.allowed - each.apart)


def choose_cells(submission: Submission, sample: int) -> list[Row]:
    """That many done cells, or all where there are fewer, by a digest of the whole submission.

    Nobody picks them, and whoever changes anything in the submission draws anew.
    """
    drawn = files_digest(submission.files.items())
    done = [row for row in submission.rows if row.status == "done"]
    done.sort(key=lambda row: hashlib.sha256(f"{drawn}{row.key}".encode()).hexdigest())
    return done[:sample]


def verify_submission(
    folder: Path,
    sample: int,
    listener: RunListener,
    protocol_name: str | None = None,
    plugins: Sequence[Path] = (),
) -> list[Verified]:
    """Validate a submission, then run a sample of its cells again and compare their scores.

    Code of a plug-in is run only where the caller gives its file, which should have been read.

    Raises `UserError` as `validate` does, where a cell needs a plug-in that is not there, where the
    data or the weights are not those of the submission, and where a cell fails.
    """
    report = validate(folder, protocol_name)
    if not report.protocol.tolerance:  # rather now than after hours
        raise UserError(
            f"The protocol '{report.protocol.name}' does not say how far scores may be apart: give "
            "it a [tolerance]."
        )
    rows = choose_cells(report.submission, sample)
    again = [_job(report.protocol, report.submission, row) for row in rows]
    records = {record.key: record for record in _run(report.protocol, again, listener, plugins)}
    return [_compared(job, records[job.key], report.submission, report.protocol) for job in again]


def _job(protocol: Protocol, submission: Submission, row: Row) -> Job:
    """The work of a row's cell on this machine, which has the very same key."""
    cell = f"{row.dataset} · {row.architecture} · {row.init} · seed {row.seed}"
    try:
        (job,) = jobs(protocol.select([row.dataset], [row.architecture], [row.init], [row.seed]))
    except UserError as error:
        if row.init_source or row.architecture_source or submission.manifest.scoring_sources:
            raise UserError(
                f"{submission.folder}: {cell} needs code of its authors: read it, and give it "
                "with --plugin FILE."
            ) from error
        raise
    if job.key != row.key:
        manifest = submission.manifest
        other = [
            what
            for what, ours, theirs in (
                ("data", job.data_digest, manifest.datasets[row.dataset].digest),
                ("weights", job.weights_identity, manifest.weights.of(row.architecture)),
                ("a plug-in of the strategy", job.init_source, row.init_source),
                ("a plug-in of the network", job.architecture_source, row.architecture_source),
                ("a plug-in of the scores", job.scoring_sources, manifest.scoring_sources),
            )
            if ours != theirs
        ]
        raise UserError(
            f"{submission.folder}: {cell} was run with {' and '.join(other) or 'something'} other "
            "than this machine has: fetch or give the very same to run it again."
        )
    return job


def _run(
    protocol: Protocol, again: list[Job], listener: RunListener, plugins: Sequence[Path]
) -> Sequence[Record]:
    """Run cells into a folder that is gone afterwards."""
    if not again:
        return []
    with tempfile.TemporaryDirectory(prefix="emsym-verify-") as folder:
        cells = [job.cell for job in again]
        result = run_benchmark(protocol, folder, cells=cells, plugins=plugins, listener=listener)
    if result.failed:
        record = result.failed[0]
        raise UserError(f"The cell {record.key} fails here: {record.error}")
    return result.done


def _compared(job: Job, record: Record, submission: Submission, protocol: Protocol) -> Verified:
    at = next(i for i, row in enumerate(submission.rows) if row.key == job.key)
    device = str(record.environment.get("device"))
    differences = []
    for name, claimed in zip(submission.score_names, submission.scores[at], strict=True):
        value = record.scores.get(name)
        size = 0.0 if math.isnan(claimed) else float(claimed)
        allowed = protocol.allowed(device, name, size)
        differences.append(
            ScoreMismatch(name, float(claimed), math.nan if value is None else value, allowed)
        )
    return Verified(job.cell, differences)
