"""The log of a cell's training: a line for each step, as CSV, and for TensorBoard."""

import csv
import io
import re
import shutil
from pathlib import Path

from emsym.files import write_atomically
from emsym.output_folder import OutputFolder
from emsym.run.job import Job
from emsym.train import LossCurve

COLUMNS = ("step", "loss", "learning_rate", "seconds")

Row = tuple[int, float, float | None, float | None]


class TrainingLog:
    """The numbers that each step of a training gives anyway; of two in turn, the last one's."""

    def __init__(self) -> None:
        """Nothing is known before the first step."""
        self._curve: LossCurve | None = None
        self._steps: list[tuple[float, float]] = []

    def add(self, curve: LossCurve, rate: float, seconds: float) -> None:
        """Note a step: the curve of its training, its learning rate, and what it took."""
        if curve is not self._curve:  # a teacher is trained before the network
            self._curve, self._steps = curve, []
        self._steps.append((rate, seconds))

    def rows(self) -> list[Row]:
        """Return the steps whose loss was read, by `COLUMNS`; of one that failed, the loss alone.

        Steps count from 1. Seconds are those of the processor; with a GPU, those of the wall that
        it took to hand the step over.
        """
        losses = self._curve.read if self._curve is not None else []
        known: list[tuple[float, float] | tuple[None, None]] = [*self._steps]
        known += [(None, None)] * (len(losses) - len(known))
        return [
            (step, loss, *each)
            for step, (loss, each) in enumerate(zip(losses, known, strict=False), 1)
        ]

    def write(self, job: Job, output: OutputFolder) -> None:
        """Write the log of a job's cell as CSV and, where TensorBoard is installed, for that.

        Nothing is written where no step was taken. Raises `UserError` where it cannot be written.
        """
        rows = self.rows()
        if not rows:
            return
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)
        write_atomically(output.training_log(job.key), text.getvalue())
        name = re.sub(r"[^\w.+-]+", "-", f"{job}-{job.key[:8]}")  # as TensorBoard lists it
        _write_events(output.tensorboard / name, rows)


def _write_events(folder: Path, rows: list[Row]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # TensorBoard is not installed
        return
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier training of the same cell
    with SummaryWriter(str(folder)) as writer:
        for step, *values in rows:
            for name, value in zip(COLUMNS[1:], values, strict=True):
                if value is not None:
                    writer.add_scalar(name, value, step)
