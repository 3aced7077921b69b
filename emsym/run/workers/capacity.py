"""How many cells run at once: as many as the GPUs take, or as cores and memory allow."""

from emsym.run.executors.local import LocalExecutor
from emsym.run.workers.devices import Devices, gpu_slots, may_have_gpu
from emsym.run.workers.hardware import CELL, USABLE, cores, memory


def cell_slots(devices: Devices, threads: int) -> int:
    """Return how many cells of `threads` threads may run at once.

    As many as the GPUs take, or as cores and memory allow. Raises `UserError` for a device that
    does not exist.
    """
    if devices.kind in ("cuda", "mps") or (devices.kind == "auto" and may_have_gpu()):
        with LocalExecutor(1) as asked:  # torch is not imported here
            if slots := asked.submit(gpu_slots, devices).result():
                return int(slots)
    return max(1, min(cores() // threads, int(USABLE * memory() / CELL)))
