"""One strategy is tried on made-up filters."""

import torch

from emsym.models.inits import INITS, register_init
from emsym.run.workers.wrong_shape import wrong_shape


def test_what_a_strategy_gives_instead_is_said(monkeypatch) -> None:
    monkeypatch.setattr(INITS, "_entries", dict(INITS._entries))

    @register_init("one-slice")
    def one_slice(rgb: torch.Tensor, slices: int) -> torch.Tensor:
        return rgb[:, :1]

    told = wrong_shape("one-slice", 3)
    assert told.startswith("The init 'one-slice' gives (64, 1, 7, 7)")
    assert wrong_shape("uniform-green", 5) == ""
