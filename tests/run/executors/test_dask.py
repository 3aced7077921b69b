"""A real scheduler of Dask's and two real worker processes, on the loopback address."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emsym.errors import UserError
from emsym.run.executors.base import Note, Pool, Setup
from emsym.run.executors.dask import dask, require_alike, versions
from emsym.run.executors.local import WorkerDied

pytest.importorskip("distributed")

BENCH = Path(sys.executable).with_name("emsym-bench")
DASK = Path(sys.executable).with_name("dask")

SLOW = """
import time
from emsym import register_init

@register_init("slow")
def slow(rgb, slices):
    "Quick in the check, and then not."
    slow.calls = getattr(slow, "calls", 0) + 1
    time.sleep(4 if slow.calls > 1 else 0)
    return rgb[:, [1] * slices]
"""


@dataclass
class Cluster:
    """Processes, each the leader of a group of its own, as on machines of their own."""

    folder: Path
    address: str = ""
    scheduler: subprocess.Popen | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)

    def start(self, workers: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        words = ("--host", "127.0.0.1", "--port", self.address.rpartition(":")[2])
        self.scheduler = self._dask("scheduler", *words, "--no-dashboard")
        self.workers = [
            self._dask("worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
            for _ in range(workers)
        ]

    def _dask(self, *words: str) -> subprocess.Popen:
        log = (self.folder / f"dask-{words[0]}.log").open("a")
        with log:
            return subprocess.Popen(
                [DASK, *words], stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def wait_for_scheduler(self) -> None:
        host, port = self.address.removeprefix("tcp://").split(":")
        for _ in range(600):
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return
            time.sleep(0.1)
        raise TimeoutError(f"no scheduler at {self.address}")

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.start(2)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def heard() -> list[Note]:
    return []


@pytest.fixture(scope="module")
def pool(cluster: Cluster, heard: list[Note]) -> Iterator[Pool]:
    with dask(Setup(1, notice=heard.append), scheduler=cluster.address) as made:
        made.executor.submit(os.getpid).result(60)
        yield made


@pytest.mark.slow
def test_what_is_submitted_runs_in_processes_of_the_workers(cluster: Cluster, pool: Pool) -> None:
    import psutil
    from distributed import default_client

    assert isinstance(pool.executor, Executor)
    assert pool.places >= 1
    with pytest.raises(ValueError, match="No clients found"):
        default_client()  # else arrays of Dask that are read here would be the cluster's work
    pids = {pool.executor.submit(os.getpid).result(120) for _ in range(6)}
    workers = {worker.pid for worker in cluster.workers}
    for pid in pids:  # forked from what a worker has started
        assert workers & {parent.pid for parent in psutil.Process(pid).parents()}


@pytest.mark.slow
def test_what_ends_a_process_ends_one_task_and_no_worker(cluster: Cluster, pool: Pool) -> None:
    with pytest.raises(WorkerDied, match="killed"):
        pool.executor.submit(signal.raise_signal, signal.SIGKILL).result(30)
    with pytest.raises(ValueError, match="invalid literal"):
        pool.executor.submit(int, "x").result(30)
    assert pool.executor.submit(abs, -2).result(30) == 2
    assert all(worker.poll() is None for worker in cluster.workers)
    pool.check()


def test_who_watches_hears_what_workers_are_at(pool: Pool, heard: list[Note]) -> None:
    pool.executor.submit(divmod, 77, 5).result(30)
    end = time.monotonic() + 20
    while not any(note.task == "77" for note in heard):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs either --scheduler tcp://… of one that runs, or --cluster"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "at tcp://127.0.0.1:1 cannot be reached"),
        ({"scheduler": "nonsense"}, "at nonsense cannot be reached"),
        ({"cluster": Path("no.toml")}, "no.toml cannot be read"),
    ],
)
def test_what_cannot_be_reached_is_a_sentence(
    options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emsym.run.executors.dask.PATIENCE", 1)
    with pytest.raises(UserError, match=re.escape(said)), dask(Setup(1), **options):
        pass


def test_a_scheduler_without_workers_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely = Cluster(tmp_path)
    lonely.start(0)
    try:
        lonely.wait_for_scheduler()
        monkeypatch.setattr("emsym.run.executors.dask.PATIENCE", 10)
        with (
            pytest.raises(UserError, match="has no workers: start some with `dask worker tcp://"),
            dask(Setup(1), scheduler=lonely.address),
        ):
            pass
    finally:
        lonely.stop()


def test_other_versions_on_a_worker_are_named_on_both_sides() -> None:
    here = versions()
    require_alike(here, {"tcp://a": here})
    theirs = {**here, "torch": "1.0", "emsym": "not installed"}
    with pytest.raises(
        UserError,
        match=re.escape(
            f"The worker tcp://b has emsym not installed instead of {here['emsym']}, "
            f"torch 1.0 instead of {here['torch']} here"
        ),
    ):
        require_alike(here, {"tcp://a": here, "tcp://b": theirs})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("system = 'slurmm'\noptions = {cores = 1}", "'system': Input should be"),
        ("system = 'slurm'", "the key 'options' is missing"),
        ("system = 'slurm'\noptions = {cores = 1}", "there is no `sbatch` on this machine"),
        ("system = 'local'\noptions = {corse = 1}", "local says: "),
        ("system = 'slurm'\noptions = {cores = {a = 1}}", "'options.cores"),
    ],
)
def test_a_wrong_cluster_file_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(said)), dask(Setup(1), cluster=path):
        pass


def bench(cluster: Cluster, *words: object, cwd: Path) -> subprocess.Popen[str]:
    command = [BENCH, "run", "--protocol", "tiny.toml", "--plugin", "slow.py", "--all"]
    return subprocess.Popen(
        [
            *command,
            "--log",
            "log.txt",
            "--executor",
            "dask",
            "--scheduler",
            cluster.address,
            *words,
        ],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def count(path: Path, word: str) -> int:
    return sum(word in line for line in path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def protocol(tiny: Path) -> Path:
    """Six cells, of which two are slow, with a plug-in that no worker has."""
    (tiny.parent / "slow.py").write_text(SLOW)
    text = tiny.read_text().replace('["rgb", "uniform-green"]', '["slow", "rgb", "mirror"]')
    tiny.write_text(text)
    return tiny


@pytest.mark.slow
def test_a_worker_that_dies_has_its_cells_run_elsewhere(protocol: Path, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.start(2)
    try:
        run = bench(cluster, cwd=protocol.parent)
        log = protocol.parent / "log.txt"
        until(lambda: count(log, "· slow · seed 0") > 0 and count(log, "cells: 6") > 0, run)
        victim = cluster.workers[0]
        os.killpg(victim.pid, signal.SIGKILL)
        said, complained = run.communicate(timeout=180)
    finally:
        cluster.stop()
    assert run.returncode == 0, complained
    assert len(list(protocol.parent.glob("emsym-results/records/*.json"))) == 6
    assert "6 to run" in said


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_run_and_keeps_what_is_done(
    protocol: Path, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path)
    cluster.start(1)
    log = protocol.parent / "log.txt"
    try:
        run = bench(cluster, cwd=protocol.parent)
        until(lambda: count(log, "INFO done: tiny-a · ") > 1, run)
        assert cluster.scheduler is not None
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)
        said, complained = run.communicate(timeout=120)
    finally:
        cluster.stop()
    assert run.returncode == 2, said + complained
    assert re.search(
        r"The scheduler at tcp://\S+ is gone: every finished record is kept", complained
    )
    assert "Traceback" not in complained + said
    kept = list(protocol.parent.glob("emsym-results/records/*"))
    assert 2 <= len(kept) < 6
    assert all(path.suffix == ".json" and ".failed" not in path.name for path in kept)


@pytest.mark.slow
def test_workers_are_asked_for_of_a_job_queue(protocol: Path) -> None:
    """By dask-jobqueue's own queue for trying, which starts a job as a process."""
    (protocol.parent / "queue.toml").write_text(
        f'system = "local"\noptions = {{cores = 1, memory = "4 GB", python = "{sys.executable}"}}\n'
    )
    words = (
        "run --protocol tiny.toml --seed 0 --init rgb --workers 1 "
        "--executor dask --cluster queue.toml"
    )
    run = subprocess.run(
        [BENCH, *words.split()],
        cwd=protocol.parent,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    assert len(list(protocol.parent.glob("emsym-results/records/*.json"))) == 1
