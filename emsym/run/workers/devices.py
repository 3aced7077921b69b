"""Which device a cell runs on, and whose turn it is on a GPU."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emsym.errors import UserError
from emsym.run.workers.notes import WAITING, note

if TYPE_CHECKING:
    from filelock import FileLock

WAIT = 0.2
"""Seconds between two looks for a GPU that is free."""

_last_used = ""


@dataclass(frozen=True)
class Devices:
    """The devices that a run may use; a name such as ``cuda:0,1`` says it."""

    kind: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """``auto``: GPUs where there are any, else the processor."""
    indices: tuple[int, ...] = ()
    """The numbers of GPUs, as torch counts them; none for all."""
    cells: int = 1
    """At once on one GPU."""

    @classmethod
    def parse(cls, name: str, cells: int = 1) -> "Devices":
        """Read the words of a user. Raises `UserError` where they name no device.

        >>> Devices.parse("cuda:0,1")
        Devices(kind='cuda', indices=(0, 1), cells=1)
        """
        match = re.fullmatch(r"(auto|cpu|mps|cuda)|cuda:(\d{1,4}(?:,\d{1,4})*)", name)
        if match is None:
            raise UserError(
                f"There is no device '{name}': say auto, cpu, mps, cuda, or some GPUs as cuda:0,1."
            )
        if match[2]:
            return cls("cuda", tuple(dict.fromkeys(map(int, match[2].split(",")))), cells)
        return cls(match[1], (), cells)  # type: ignore[arg-type]


def may_have_gpu() -> bool:
    """Whether it is worth importing torch to ask what GPUs this machine has."""
    import sys

    nodes = ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # of NVIDIA, AMD, and of either under Windows
    return sys.platform in ("win32", "darwin") or any(Path(node).exists() for node in nodes)


def gpus(devices: Devices) -> dict[str, str]:
    """The GPUs among the devices that this machine has: names for torch → what tells them apart.

    Empty where cells run on the processor. Raises `UserError` for a device that does not exist.
    """
    if devices.kind == "cpu":
        return {}
    import torch

    count = torch.cuda.device_count()
    if devices.kind == "mps" or (devices.kind == "auto" and not count):
        if torch.backends.mps.is_available():
            return {"mps": "mps"}
        if devices.kind == "mps":
            raise UserError("There is no device 'mps' on this machine: run with --device cpu.")
        return {}
    absent = [index for index in devices.indices if index >= count]
    if absent or not count:
        asked = f"cuda:{absent[0]}" if absent else "cuda"
        there = f"torch {torch.__version__} sees " + (
            f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0 alone" if count else "no GPU"
        )
        raise UserError(
            f"There is no device '{asked}' on this machine, {there}: name another --device, or "
            "leave it out."
        )
    return {
        f"cuda:{index}": str(torch.cuda.get_device_properties(index).uuid)
        for index in devices.indices or range(count)
    }


def gpu_slots(devices: Devices) -> int:
    """How many cells may run at once on the GPUs; 0 where cells run on the processor."""
    return len(gpus(devices)) * devices.cells


@contextmanager
def lease(devices: Devices) -> Iterator[str]:
    """The name of a device that is this cell's alone: waits for a GPU that has a place.

    Other runs on this machine keep to it, too. A place is a locked file, which the system frees
    when its holder dies.
    """
    global _last_used
    identities = gpus(devices)
    if not identities:
        yield "cpu"
        return
    # first the one it had: another would keep the memory of two
    names = sorted(identities, key=lambda name: name != _last_used)
    while (place := _free_place({name: identities[name] for name in names}, devices.cells)) is None:
        time.sleep(WAIT)
    _last_used, lock = place
    try:
        yield _last_used
    finally:
        lock.release()


def _free_place(identities: dict[str, str], cells: int) -> "tuple[str, FileLock] | None":
    from filelock import FileLock, Timeout

    for place in range(cells):
        for name, identity in identities.items():
            lock = FileLock(Path(tempfile.gettempdir(), f"emsym-{identity}-{place}.lock"))
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return name, lock
    return None


@dataclass(frozen=True)
class OnDevice:
    """A function that is called with a device that is free, after its other arguments."""

    function: Callable
    devices: Devices

    def __call__(self, *args: Any) -> Any:
        """Wait for a device, which counts against no time limit, and call the function."""
        note("starting")
        note(f"{WAITING} for a device")
        with lease(self.devices) as device:
            return self.function(*args, device)
