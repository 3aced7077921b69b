"""A worker process, spoken to as its parent does."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CODE = "from emsym.run.workers.worker import serve; serve()"


@pytest.fixture
def worker() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.communicate()


def send(worker: subprocess.Popen, message: object) -> None:
    worker.stdin.write(pickle.dumps(message))
    worker.stdin.flush()


def answer(worker: subprocess.Popen) -> tuple[str, Any]:
    return pickle.load(worker.stdout)


def test_it_answers_with_results_and_errors_and_ends_when_told(worker: subprocess.Popen) -> None:
    send(worker, (dict(os.environ), ()))
    send(worker, (divmod, (7, 2), {}))
    assert answer(worker) == ("result", (3, 1))
    send(worker, (int, ("x",), {}))
    kind, error = answer(worker)
    assert (kind, type(error)) == ("error", ValueError)
    send(worker, (exit, (3,), {}))
    kind, error = answer(worker)
    assert (kind, str(error)) == ("error", "SystemExit: 3")
    send(worker, (print, ("no answer",), {}))
    assert answer(worker) == ("result", None)
    send(worker, None)
    assert worker.wait(20) == 0


def test_it_loads_plugins_first_also_such_as_came_from_elsewhere(
    worker: subprocess.Popen, tmp_path: Path
) -> None:
    text = (
        "import os\nfrom emsym import register_init\n"
        "@register_init('{name}')\ndef strategy(rgb, slices):\n    return rgb\n"
    )
    local = tmp_path / "local_plugin.py"
    local.write_text(text.format(name="local-one"))
    plugins = (local, ("sent.py", text.format(name="sent-one").encode()))
    send(worker, (dict(os.environ), plugins))
    from emsym.models.inits import list_inits

    send(worker, (list_inits, ("*-one",), {}))
    assert answer(worker) == ("result", ["local-one", "sent-one"])


def test_without_its_parent_it_ends(worker: subprocess.Popen) -> None:
    send(worker, (dict(os.environ), ()))
    worker.stdin.close()
    assert worker.wait(20) == 1
    worker.stdin = None
