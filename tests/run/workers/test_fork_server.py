"""Workers are forked from a process that has imported the libraries, where the system lets them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from huggingface_hub import is_offline_mode

from emsym.run.executors.local import LocalExecutor, WorkerDied
from emsym.run.workers import fork_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")
IMPORTED = "assert {'torch', 'timm', 'captum', 'quantus'} <= set(__import__('sys').modules)"
LIGHT = ("huggingface_hub",)
IDLE = (
    "import emsym.run.workers.fork_server as fork_server\n"
    "fork_server.IDLE = 0.2\n"
    "fork_server.fork_workers([])"
)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalExecutor]:
    monkeypatch.setattr(fork_server, "LIBRARIES", LIGHT)
    with LocalExecutor(1) as made:
        yield made


def test_workers_of_two_executors_are_forked_from_one_process(executor: LocalExecutor) -> None:
    parent = executor.submit(os.getppid).result()
    with LocalExecutor(2) as other:
        parents = [other.submit(os.getppid) for _ in range(4)]
        assert {each.result() for each in parents} == {parent}
    assert psutil.Process(parent).ppid() == os.getpid()


@pytest.mark.slow
def test_the_libraries_are_there_already() -> None:
    with LocalExecutor(1) as executor:
        executor.submit(exec, IMPORTED).result()
        server = psutil.Process(executor.submit(os.getppid).result())
        assert server.num_threads() == 1  # a fork would lose the others


def test_a_worker_has_the_variables_and_the_folder_of_its_time(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = executor.submit(os.getppid).result()
    monkeypatch.setenv("EMSYM_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with LocalExecutor(1) as other:
        assert other.submit(os.getenv, "EMSYM_DATA_DIR").result() == str(tmp_path)
        assert other.submit(os.getcwd).result() == str(tmp_path)
        assert other.submit(os.getppid).result() == parent


def test_variables_that_libraries_read_are_there_when_they_are_imported(
    executor: LocalExecutor,
) -> None:
    with LocalExecutor(1, offline=True) as other:
        assert other.submit(is_offline_mode).result() is True
        assert other.submit(os.getppid).result() != executor.submit(os.getppid).result()


def test_where_the_parent_of_workers_is_killed_tasks_go_on_and_new_workers_have_another(
    executor: LocalExecutor,
) -> None:
    server = psutil.Process(executor.submit(os.getppid).result())
    running = executor.submit(eval, "__import__('time').sleep(1) or 7")
    time.sleep(0.2)
    server.kill()
    server.wait(timeout=10)
    assert running.result() == 7
    assert executor.submit(os.getppid).result() != server.pid


def test_workers_and_their_parent_end_with_the_run(tmp_path: Path) -> None:
    code = (
        "import os, time; from emsym.run.executors.local import LocalExecutor\n"
        "import emsym.run.workers.fork_server; emsym.run.workers.fork_server.LIBRARIES = ()\n"
        "executor = LocalExecutor(1)\n"
        "print(executor.submit(os.getppid).result(), flush=True)\n"
        "executor.submit(time.sleep, 600).result()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        server = psutil.Process(int(run.stdout.readline()))
        (worker,) = server.children()
        run.send_signal(signal.SIGKILL)
        psutil.wait_procs([server, worker], timeout=10)
        assert not server.is_running()
        assert not worker.is_running()


def test_a_process_that_nobody_wants_forks_from_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen([sys.executable, "-c", IDLE], stdin=theirs) as idle:
        assert idle.wait(timeout=30) == 0


def test_elsewhere_a_worker_imports_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server.sys, "platform", "darwin")
    with LocalExecutor(1) as executor:
        assert executor.submit(os.getppid).result() == os.getpid()
        with pytest.raises(WorkerDied, match="with code 5"):
            executor.submit(os._exit, 5).result()
