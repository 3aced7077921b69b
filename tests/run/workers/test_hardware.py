import os
from pathlib import Path

import psutil
import pytest

from emsym.run.workers import hardware


def test_a_container_with_less_memory_than_its_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(hardware, "_CGROUPS", (str(limit), str(tmp_path / "none")))
    assert hardware.memory() == psutil.virtual_memory().total
    limit.write_text("max\n")
    assert hardware.memory() == psutil.virtual_memory().total
    limit.write_text("1000000\n")
    assert hardware.memory() == 1_000_000
    assert hardware.share(3) == 300_000


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= hardware.cores() <= (os.cpu_count() or 1)
