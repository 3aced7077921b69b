from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emsym.protocol import load_protocol
from emsym.run.calibrate import calibrate
from emsym.run.executors.base import Pool
from emsym.run.job import Job, jobs
from emsym.run.store.record import record_of
from emsym.run.workers import tasks
from emsym.run.workers.devices import Devices

PAIR = ("tiny-a", "linknet-tu-test_efficientnet")


@pytest.fixture
def measure(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Calibrate the tiny protocol of 100 steps with a function in place of its cells."""
    tiny.write_text(tiny.read_text().replace("\nsteps = 2\n", "\nsteps = 100\n", 1))
    all_jobs = jobs(load_protocol(str(tiny)))

    def call(run_cell: Callable, known: tuple = ()):
        monkeypatch.setattr(tasks, "run_cell", run_cell)
        with ThreadPoolExecutor(1) as executor:
            pool = Pool(executor, 1, executor.shutdown)
            return calibrate(all_jobs, known, pool, Devices("cpu"))

    return call


def test_a_short_cell_is_run_of_each_pair_and_reckoned_up_to_a_whole_one(measure: Callable) -> None:
    ran: list[Job] = []

    def run_cell(job: Job, *_: object):
        ran.append(job)
        times = {"data": 1.0, "train": 2.0}
        return record_of(job, status="done", seconds=times, images={"section": [8.0]})

    seen, failed = measure(run_cell)
    assert [job.protocol.recipe.steps for job in ran] == [6]
    assert failed == {}
    assert seen[PAIR][0].seconds == pytest.approx(1 + 2 * 100 / 6)
    assert measure(run_cell, known=(PAIR,)) == ({}, {})
    assert len(ran) == 1


def test_a_pair_that_cannot_be_run_is_told(measure: Callable) -> None:
    assert measure(lambda job, *_: record_of(job, status="failed", error="no")) == (
        {},
        {PAIR: "no"},
    )
    assert measure(lambda *_: 1 / 0) == ({}, {PAIR: "division by zero"})
