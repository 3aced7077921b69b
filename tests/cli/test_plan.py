import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.plan import plan
from emsym.errors import UserError
from emsym.protocol import Cell, Protocol
from emsym.run.executors import local
from emsym.run.executors.base import Pool, Setup
from emsym.run.job import jobs
from emsym.run.store.record import record_of
from emsym.run.store.store import Store


def call(*words: object) -> str:
    return CliRunner().invoke(plan, [*map(str, words)], catch_exceptions=False).output


def test_it_tells_every_cell_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = call("--workers", 1)
    assert output.count("to run  phantom-") == 90
    assert "0 stored, 90 to run." in output
    assert "How long is not known before the first cell is done" in output
    assert not list(tmp_path.iterdir())


def test_many_cells_are_counted_by_data_set_and_network(tmp_path: Path) -> None:
    output = call("--protocol", "micrographs", "--output", tmp_path)
    assert "to run    50 of isbi2012 · linknet-tu-mobilenetv2_100\n" in output
    assert output.count("to run") == 6 + 1
    assert "0 stored, 300 to run." in output


def test_hours_follow_from_operations(tiny: Path, tmp_path: Path) -> None:
    words = ("--protocol", tiny, "--output", tmp_path, "--seed", 0)
    slow, fast = (call(*words, "--tflops", speed) for speed in (1e-6, 1e-3))
    assert "PFLOP of training" in slow
    assert "on one device that sustains 1e-06 TFLOP/s about" in slow
    assert "How long is not known" not in slow
    told = json.loads(
        CliRunner().invoke(plan, [*map(str, words), "--tflops", "1", "--json"]).stdout
    )
    assert told["operations"]["training"] > 0 < told["operations"]["scoring"]
    assert fast != slow


def test_stored_failed_and_damaged_cells_are_told(
    tiny: Path, store: Path, protocol: Protocol
) -> None:
    kept, failed, damaged, missing = jobs(protocol)
    records = Store(store / "records")
    for job in (failed, missing):
        records.path(job.key).unlink()
    records.save(record_of(failed, status="failed", error="x"))
    records.path(damaged.key).write_text("{")
    output = call("--protocol", tiny, "--output", store, "--workers", 2)
    assert f"stored  {kept.cell}" in output
    assert f"failed  {failed.cell}" in output
    assert f"to run  {missing.cell}" in output
    assert f"{damaged.key}.json is damaged" in output
    assert "1 stored, 2 to run, 1 failed (--retry-failed)." in output
    assert "with 2 at once" in output
    words = ("--protocol", tiny, "--output", store, "--workers", 2, "--json")
    told = json.loads(CliRunner().invoke(plan, [*map(str, words)]).stdout)
    states = {Cell(*(cell[key] for key in Cell._fields)): cell["state"] for cell in told["cells"]}
    assert states == {
        kept.cell: "stored",
        failed.cell: "failed",
        damaged.cell: "to run",
        missing.cell: "to run",
    }
    assert [cell["error"] for cell in told["cells"] if cell["error"]] == ["x"]
    assert told["damaged"] == [str(records.path(damaged.key))]
    assert told["workers"] == 2
    assert told["estimate"]["low"] <= told["estimate"]["seconds"] <= told["estimate"]["high"]
    assert told["estimate"]["cells_seen"] == 1


@contextmanager
def threads(setup: Setup) -> Iterator[Pool]:
    with ThreadPoolExecutor(setup.workers) as executor:
        yield Pool(executor, setup.workers, executor.shutdown)


def test_calibration_tells_what_cannot_be_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emsym.run.calibrate.tasks.run_cell", lambda *_: 1 / 0)
    monkeypatch.setattr(local, "local", threads)
    output = call("--protocol", tiny, "--output", tmp_path, "--calibrate", "--device", "cpu")
    assert "cannot be run: division by zero" in output


def test_a_device_that_there_is_not_is_told_before_anything_else() -> None:
    done = CliRunner().invoke(plan, ["--device", "tpu"])
    assert isinstance(done.exception, UserError)
    assert not done.stdout
