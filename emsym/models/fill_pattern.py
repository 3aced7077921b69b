"""The planes of red, green and blue that a strategy fills each slice with, found by trying it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emsym.errors import UserError
from emsym.models.inits import INITS, WIDTH_NM, InitStrategy

Kind = Literal["planes", "pattern", "fresh"]
_ROUNDING = 1e-4


@dataclass(frozen=True)
class FillPattern:
    """The part of a stem's three planes that each slice gets from a strategy."""

    kind: Kind
    """``planes``: each slice is a sum of the planes; ``pattern``: it is made of them in another
    way; ``fresh``: it has nothing of them."""
    weights: tuple[tuple[float, ...], ...]
    """How much of R, G and B (three rows) each of the S slices has; empty but of ``planes``."""
    alike: bool
    """Whether all slices get the same."""


def fill_pattern(strategy: str, slices: int) -> FillPattern | None:
    """Return the pattern of a strategy by its name, without interventions; raise nothing.

    It is None for one that is not registered here, or fails. A strategy that depends on the
    distance of sections is tried at `WIDTH_NM`. Without the gain, which changes all slices alike.

    >>> fill_pattern("mirror", 3).weights
    ((0.5, 0.0, 0.5), (0.0, 1.0, 0.0), (0.5, 0.0, 0.5))
    """
    import torch

    try:
        chosen: InitStrategy = INITS.get(strategy).at(WIDTH_NM, strategy)
    except UserError:
        return None
    made = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            generator = torch.Generator().manual_seed(seed)
            rgb = torch.randn(16, 3, 3, 3, generator=generator)
            torch.manual_seed(0)  # so that what is drawn is the same for both
            try:
                made.append((rgb, chosen.fill(rgb.clone(), slices)))
            except Exception:  # whatever a stranger's function raises
                return None
    (rgb, filled), (_, other) = made
    alike = bool((filled - filled[:, :1]).abs().max() < _ROUNDING)
    if torch.equal(filled, other):
        return FillPattern("fresh", (), alike)
    planes, slots = rgb.transpose(0, 1).flatten(1).T, filled.transpose(0, 1).flatten(1).T
    weights = torch.linalg.lstsq(planes.double(), slots.double()).solution
    if (planes.double() @ weights - slots).abs().max() > _ROUNDING:
        return FillPattern("pattern", (), alike)
    rows = tuple(tuple(round(value, 3) + 0.0 for value in row) for row in weights.tolist())
    return FillPattern("planes", rows, alike)
