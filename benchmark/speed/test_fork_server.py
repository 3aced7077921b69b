"""A worker that is forked beside one that imports the libraries by itself."""

import sys
import time
from collections.abc import Callable

import pytest

from emsym.run.executors.local import LocalExecutor
from emsym.run.workers import fork_server

IMPORTS = "; ".join(f"import {name}" for name in fork_server.LIBRARIES)


def seconds_of_worker() -> float:
    """Until a fresh worker has imported what a cell needs."""
    start = time.perf_counter()
    with LocalExecutor(1) as executor:
        executor.submit(exec, IMPORTS).result()
    return time.perf_counter() - start


def test_a_worker_after_the_first(
    say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for: 3 s at most after the first worker."""
    first, forked = seconds_of_worker(), min(seconds_of_worker() for _ in range(5))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "other")
        alone = min(seconds_of_worker() for _ in range(3))
    say(
        f"libraries at hand: first worker {first:.1f} s, later ones {forked:.2f} s, "
        f"each by itself {alone:.1f} s, {alone / forked:.0f} ×"
    )
