from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.protocol import load_protocol
from emsym.run.executors.base import Pool
from emsym.run.executors.local import WorkerDied
from emsym.run.job import jobs
from emsym.run.listener import RunListener
from emsym.run.preflight import check_jobs
from emsym.run.workers import tasks


@pytest.fixture
def check(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Check the tiny protocol's jobs; a function stands for the check of its one network."""

    def call(check_model: Callable, check_dataset: Callable = lambda *_: None) -> dict[str, str]:
        monkeypatch.setattr(tasks, "check_model", check_model)
        monkeypatch.setattr(tasks, "check_dataset", check_dataset)
        all_jobs = jobs(load_protocol(str(tiny)), offline=True)
        names = {job.key: job.cell.init for job in all_jobs}
        with ThreadPoolExecutor(1) as executor:
            pool = Pool(executor, 1, executor.shutdown)
            wrong = check_jobs(all_jobs, pool, RunListener(), None)
        return {names[key]: why for key, why in wrong.items()}

    return call


def test_each_network_and_data_set_is_tried_once(check: Callable) -> None:
    tried = []
    assert check(lambda *args: tried.append(args), lambda *args: tried.append(args)) == {}
    network, data = tried
    assert network[:2] == ("linknet-tu-test_efficientnet", ("rgb", "uniform-green"))
    assert network[-1] is True, "a run that is offline loads no weights from a hub"
    assert data[0] == "tiny-a"


def test_what_is_wrong_with_a_strategy_fails_its_jobs_alone(check: Callable) -> None:
    assert check(lambda *_: {"rgb": "no"}) == {"rgb": "no"}


def test_what_is_wrong_with_all_ends_the_run(check: Callable) -> None:
    def refuse(*_: object) -> None:
        raise UserError("weights do not fit")

    with pytest.raises(UserError, match="weights do not fit"):
        check(refuse)


def test_where_a_worker_dies_the_strategy_that_killed_it_is_found(check: Callable) -> None:
    def kill(name: str, inits: tuple[str, ...], *_: object) -> dict[str, str]:
        if "rgb" in inits:
            raise WorkerDied("its process was killed")
        return {}

    wrong = check(kill)
    assert wrong.keys() == {"rgb"}
    assert "its process was killed" in wrong["rgb"]
