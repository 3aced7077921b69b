import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from emsym.output_folder import OutputFolder
from emsym.protocol import load_protocol
from emsym.run.cell import run_cell
from emsym.run.job import Job, jobs
from emsym.run.training_log import COLUMNS, TrainingLog
from emsym.train import LossCurve


@pytest.fixture
def job(tiny: Path) -> Job:
    return jobs(load_protocol(str(tiny)))[0]


def curve_of(*losses: float, every: int = 1) -> LossCurve:
    curve = LossCurve(every)
    for loss in losses:
        curve.append(torch.tensor(loss))
    return curve


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float, int]]:
    """What a stand-in for TensorBoard was given: a folder's name, a score's, a value, a step."""
    scalars: list[tuple[str, str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            self.name = Path(folder).name

        def __enter__(self) -> "SummaryWriter":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def add_scalar(self, name: str, value: float, step: int) -> None:
            scalars.append((self.name, name, value, step))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return scalars


def test_of_two_trainings_the_last_counts() -> None:
    log, teacher, network = TrainingLog(), curve_of(9.0), curve_of(0.5, 0.25)
    log.add(teacher, 1.0, 1.0)
    log.add(network, 0.1, 0.01)
    log.add(network, 0.2, 0.02)
    assert log.rows() == [(1, 0.5, 0.1, 0.01), (2, 0.25, 0.2, 0.02)]


def test_of_a_training_that_fails_the_last_loss_says_why() -> None:
    log, curve = TrainingLog(), curve_of(0.5)
    log.add(curve, 0.1, 0.01)
    with pytest.raises(ArithmeticError):
        curve.append(torch.tensor(float("inf")))
    assert log.rows() == [(1, 0.5, 0.1, 0.01), (2, float("inf"), None, None)]


def test_losses_that_a_gpu_was_not_asked_for_are_left_out() -> None:
    log, curve = TrainingLog(), curve_of(0.5, 0.25, 0.125, every=2)
    for _ in range(3):
        log.add(curve, 0.1, 0.01)
    assert [row[1] for row in log.rows()] == [0.5, 0.25]


def test_without_a_step_nothing_is_written(job: Job, tmp_path: Path) -> None:
    TrainingLog().write(job, OutputFolder(tmp_path))
    assert not list(tmp_path.glob("training/*"))


def test_a_cell_logs_its_training_where_asked_and_its_record_is_the_same(
    job: Job, tmp_path: Path, written: list[tuple[str, str, float, int]]
) -> None:
    asked, silent = OutputFolder(tmp_path / "asked"), OutputFolder(tmp_path / "silent")
    record, other = run_cell(job, asked, training_log=True), run_cell(job, silent)
    assert (record.scores, record.curve) == (other.scores, other.curve)
    assert not silent.training.exists()
    with asked.training_log(job.key).open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["step"]) for row in rows] == [1, 2]
    assert [float(row["loss"]) for row in rows] == record.curve
    peak = job.protocol.recipe.learning_rate
    assert all(0 < float(row["learning_rate"]) <= peak for row in rows)
    assert all(float(row["seconds"]) > 0 for row in rows)
    name = f"tiny-a-linknet-tu-test_efficientnet-rgb-seed-0-{job.key[:8]}"
    losses = [(name, "loss", loss, step) for step, loss in enumerate(record.curve or (), 1)]
    assert [each for each in written if each[1] == "loss"] == losses
    assert {each[1] for each in written} == set(COLUMNS[1:])


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is not None, reason="TensorBoard is installed"
)
def test_without_tensorboard_there_is_the_table_alone(job: Job, tmp_path: Path) -> None:
    log, output = TrainingLog(), OutputFolder(tmp_path)
    log.add(curve_of(0.5), 0.1, 0.01)
    log.write(job, output)
    assert list(output.training.iterdir()) == [output.training_log(job.key)]


def test_tensorboard_reads_what_is_written(job: Job, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log, output = TrainingLog(), OutputFolder(tmp_path)
    log.add(curve_of(0.5), 0.1, 0.01)
    log.write(job, output)
    (folder,) = output.tensorboard.iterdir()
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == [(1, 0.5)]
