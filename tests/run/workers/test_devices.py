"""Which device a cell gets. With a GPU: python -m pytest -m gpu tests/run"""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from emsym.errors import UserError
from emsym.protocol import load_protocol
from emsym.run.cell import run_cell
from emsym.run.job import jobs
from emsym.run.workers import devices
from emsym.run.workers.devices import Devices, gpu_slots, gpus, lease


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("auto", Devices("auto")),
        ("cpu", Devices("cpu")),
        ("cuda", Devices("cuda")),
        ("cuda:2", Devices("cuda", (2,))),
        ("cuda:1,0,1", Devices("cuda", (1, 0))),
    ],
)
def test_a_name_says_which(name: str, devices: Devices) -> None:
    assert Devices.parse(name) == devices


@pytest.mark.parametrize(
    "name", ["", "gpu", "cuda:", "cuda:-1", "cuda:a", "cpu:0", "cuda:0,", "CPU"]
)
def test_what_names_no_device_is_a_sentence(name: str) -> None:
    with pytest.raises(UserError, match=f"There is no device '{name}': say auto"):
        Devices.parse(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"There is no device 'cuda' .* sees no GPU"):
        gpus(Devices("cuda"))
    assert gpu_slots(Devices("auto")) == 0
    with lease(Devices("auto")) as device:
        assert device == "cpu"


def test_a_task_is_called_with_its_device_and_says_before_that_it_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[str] = []
    monkeypatch.setattr(devices, "note", noted.append)
    task = devices.OnDevice(lambda *words: (*words, list(noted)), Devices("cpu"))
    assert task("cell", 1) == ("cell", 1, "cpu", ["starting", "waiting for a device"])


class TwoGpus:
    """A machine with two GPUs, as far as torch tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        class Properties:
            def __init__(self, index: int) -> None:
                self.uuid = f"gpu-{index}-{folder.name}"

        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_properties", Properties)
        monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(folder))


def test_gpus_are_those_that_were_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    TwoGpus(monkeypatch, tmp_path)
    assert list(gpus(Devices("cuda"))) == list(gpus(Devices("auto"))) == ["cuda:0", "cuda:1"]
    assert list(gpus(Devices("cuda", (1,)))) == ["cuda:1"]
    assert gpu_slots(Devices("cuda", cells=3)) == 6
    with pytest.raises(UserError, match=r"no device 'cuda:2' .* sees cuda:0 to cuda:1"):
        gpus(Devices("cuda", (0, 2)))


@pytest.mark.parametrize("cells", [1, 2])
def test_a_gpu_has_as_many_cells_as_it_may(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cells: int
) -> None:
    TwoGpus(monkeypatch, tmp_path)
    monkeypatch.setattr(devices, "WAIT", 0.01)
    at_once: dict[str, int] = {"cuda:0": 0, "cuda:1": 0}
    most = dict(at_once)
    lock = threading.Lock()

    def work() -> None:
        with lease(Devices("cuda", cells=cells)) as device:
            with lock:
                at_once[str(device)] += 1
                most[str(device)] = max(most[str(device)], at_once[str(device)])
            time.sleep(0.05)
            with lock:
                at_once[str(device)] -= 1

    workers = [threading.Thread(target=work) for _ in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert most == {"cuda:0": cells, "cuda:1": cells}


def test_a_place_is_free_again_when_its_holder_was_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    TwoGpus(monkeypatch, tmp_path)
    code = (
        "import sys, time; from filelock import FileLock\n"
        "lock = FileLock(sys.argv[1]); lock.acquire(); print('ready', flush=True); time.sleep(60)"
    )
    place = tmp_path / f"emsym-gpu-1-{tmp_path.name}-0.lock"
    holder = subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    taken: list[str] = []

    def wait() -> None:
        with lease(Devices("cuda", (1,))) as device:
            taken.append(str(device))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    assert not taken
    holder.kill()
    holder.communicate()
    waiting.join(10)
    assert taken == ["cuda:1"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_cell_runs_on_a_gpu_and_its_record_says_so(tiny: Path, precision: str) -> None:
    tiny.write_text(
        tiny.read_text().replace("steps = 2\n", f'steps = 2\nprecision = "{precision}"\n')
    )
    job = jobs(load_protocol(str(tiny)))[0]
    with lease(Devices("cuda")) as device:
        record = run_cell(job, device=device)
    assert record.status == "done", record.error
    assert str(record.environment["device"]).startswith("cuda: ")
    assert "nondeterministic" in record.environment
    reference = run_cell(job)
    close = 0.02 if precision == "float32" else 0.2
    assert record.curve[0] == pytest.approx(reference.curve[0], abs=close)
