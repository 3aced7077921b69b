"""Real worker processes: what ends one ends one task."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from pathlib import Path

import psutil
import pytest

from emsym.run.executors.base import Note
from emsym.run.executors.local import LocalExecutor, Timed, WorkerDied
from emsym.run.workers import fork_server
from emsym.run.workers.notes import note

DEEP = """import os, torch, scipy.stats
def dig(depth):
    dig(depth - 1) if depth else os.abort()
dig(90)
"""  # its traces and its extension modules are longer than the last lines of it


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that need no library, and are there at once."""
    monkeypatch.setattr(fork_server, "LIBRARIES", ())


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(2) as made:
        yield made


def test_it_is_an_executor_that_keeps_its_workers(executor: LocalExecutor) -> None:
    assert isinstance(executor, Executor)
    assert list(executor.map(divmod, (7, 9), (2, 3))) == [(3, 1), (3, 0)]
    pids = {executor.submit(os.getpid).result() for _ in range(20)}
    assert len(pids) <= 2
    assert os.getpid() not in pids


def test_workers_work_at_the_same_time(executor: LocalExecutor) -> None:
    [future.result() for future in [executor.submit(os.getpid) for _ in range(8)]]  # warm
    start = time.monotonic()
    list(executor.map(time.sleep, (1, 1)))
    assert time.monotonic() - start < 1.9


def test_what_a_task_raises_is_raised_here(executor: LocalExecutor) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        executor.submit(int, "x").result()


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ((os.abort,), r"crashed \(SIGABRT\): File"),
        ((exec, DEEP, {}), r"crashed \(SIGABRT\): File \"<string>\", line 3"),
        ((signal.raise_signal, signal.SIGSEGV), r"crashed \(SIGSEGV\)"),
        ((signal.raise_signal, signal.SIGKILL), r"killed \(SIGKILL\), most often because memory"),
        ((os._exit, 5), "ended by itself, with code 5"),
        ((Timed(time.sleep, 0.5), 60), r"longer than the --timeout of 0\.5 s"),
    ],
)
def test_a_worker_that_dies_fails_its_task_alone(
    executor: LocalExecutor, deed: tuple, said: str
) -> None:
    beside = executor.submit(time.sleep, 0.5)
    after = [executor.submit(abs, -number) for number in range(4)]
    with pytest.raises(WorkerDied, match=said):
        executor.submit(*deed).result(timeout=90)
    assert beside.result() is None
    assert [future.result() for future in after] == [0, 1, 2, 3]
    assert executor.submit(abs, -7).result() == 7


def test_a_worker_that_allocates_without_end_is_ended() -> None:
    with (
        LocalExecutor(1, memory=200_000_000) as executor,
        pytest.raises(WorkerDied, match=r"more than the 0\.2 GB of one worker: allow more with"),
    ):
        executor.submit(exec, "held = []\nwhile True: held.append(b'x' * 10_000_000)").result(30)


def test_an_idle_worker_that_is_killed_costs_no_task() -> None:
    with LocalExecutor(1) as executor:
        pid = executor.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)], timeout=0.2)
        assert executor.submit(os.getpid).result() != pid


def test_stopping_ends_at_once_and_leaves_nobody() -> None:
    executor = LocalExecutor(1)
    pid = executor.submit(os.getpid).result()
    running, waiting = executor.submit(time.sleep, 60), executor.submit(time.sleep, 60)
    time.sleep(0.3)
    start = time.monotonic()
    executor.stop()
    assert time.monotonic() - start < 3
    with pytest.raises(WorkerDied, match="stopped"):
        running.result()
    with pytest.raises(CancelledError):
        waiting.result()
    assert not psutil.pid_exists(pid)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(abs, 1)


def test_a_worker_ends_when_its_parent_was_killed(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import os, time; from emsym.run.executors.local import LocalExecutor\n"
        "import emsym.run.workers.fork_server; emsym.run.workers.fork_server.LIBRARIES = ()\n"
        "executor = LocalExecutor(1)\n"
        "print(executor.submit(os.getpid).result(), flush=True)\n"
        "executor.submit(time.sleep, 600).result()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    worker.wait(timeout=10)


def test_who_watches_hears_what_a_worker_is_at_and_cannot_end_it() -> None:
    heard: list[Note] = []

    def notice(told: Note) -> None:
        heard.append(told)
        raise RuntimeError("a defect of who watches")

    with LocalExecutor(1, notice=notice) as executor:
        assert executor.submit(note, "training", "3/5").result(timeout=90) is None
    assert Note("1", "training", "training 3/5") in [
        Note(told.worker, told.task, told.phase) for told in heard
    ]
    assert max(told.memory for told in heard) > 1_000_000
    assert heard[-1] == Note("1", None)


def test_libraries_of_a_worker_use_the_threads_they_were_given() -> None:
    with LocalExecutor(1, threads=3) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "3"


def test_modules_of_the_folder_that_it_runs_in_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    with LocalExecutor(1) as executor:
        assert executor.submit(abs, -1).result() == 1
