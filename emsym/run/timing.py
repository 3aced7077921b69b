"""Wall times of a run's phases and of a cell's."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from emsym.run.workers.notes import note


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Note the wall seconds of a block under `phase`, also when it raises."""
    note(phase)
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = round(time.perf_counter() - start, 3)
