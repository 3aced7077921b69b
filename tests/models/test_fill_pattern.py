"""The planes that a strategy fills slices with are found by trying it."""

import pytest
import torch

from emsym.models.fill_pattern import fill_pattern
from emsym.models.inits import INITS, InitStrategy, list_inits


def test_planes_are_found_row_by_row() -> None:
    pattern = fill_pattern("difference", 3)
    assert pattern is not None
    assert pattern.kind == "planes"
    assert pattern.weights == ((-0.5, 2.0, -0.5),) * 3
    assert not pattern.alike


@pytest.mark.parametrize(
    ("name", "kind", "alike"),
    [
        ("uniform-green", "planes", True),
        ("mirror-preserve", "planes", False),
        ("gaussian", "planes", False),
        ("uniform-svd", "pattern", True),
        ("random-stem", "fresh", False),
    ],
)
def test_kinds(name: str, kind: str, alike: bool) -> None:
    pattern = fill_pattern(name, 5)
    assert pattern is not None
    assert (pattern.kind, pattern.alike) == (kind, alike)
    assert all(len(row) == 5 for row in pattern.weights)


def test_every_strategy_has_one_and_no_number_is_drawn_from_the_users_generator() -> None:
    before = torch.random.get_rng_state()
    assert all(fill_pattern(name, 3) for name in list_inits() if name not in ("timm", "smp"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_strategy_that_is_not_here_or_fails_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fill_pattern("theirs", 3) is None

    def broken(rgb: torch.Tensor, slices: int) -> torch.Tensor:
        raise RuntimeError

    monkeypatch.setattr(INITS, "get", lambda name: InitStrategy(broken))
    assert fill_pattern("broken", 3) is None
