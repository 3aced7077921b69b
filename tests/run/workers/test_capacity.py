import pytest

from emsym.run.workers import capacity
from emsym.run.workers.devices import Devices


@pytest.mark.parametrize(
    ("cores", "memory", "threads", "expected"),
    [(8, 100e9, 1, 8), (8, 100e9, 3, 2), (8, 5e9, 1, 2), (1, 1e9, 4, 1)],
)
def test_cells_at_once_are_what_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: float, threads: int, expected: int
) -> None:
    monkeypatch.setattr(capacity, "cores", lambda: cores)
    monkeypatch.setattr(capacity, "memory", lambda: memory)
    assert capacity.cell_slots(Devices("cpu"), threads) == expected
