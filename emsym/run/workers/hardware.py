"""The cores and the memory of this machine."""

import os
from pathlib import Path

import psutil

USABLE = 0.9
"""The part of the memory that workers share; the rest is for the system and their parent."""
CELL = 2.0e9
"""Bytes that a worker is reckoned to need at least: torch and the libraries take half of it."""
IMPORTS = 0.5e9
"""Bytes that a worker holds at the least, once torch and the libraries are imported."""
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory() -> int:
    """Return the bytes that this process may use: its container's where the machine has more."""
    available = int(psutil.virtual_memory().total)
    for path in _CGROUPS:
        try:
            available = min(available, int(Path(path).read_text()))
        except (OSError, ValueError):  # another system, or no limit
            continue
    return available


def share(workers: int) -> int:
    """Return the bytes of memory of one of so many workers."""
    return int(USABLE * memory() / workers)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
