"""The facts of a score: what it is called, between what it lies and how it is read.

They stand where a score is registered, and `emsym.scores.catalogue.score_of` finds them by a key.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["high", "low"]
Pooling = Literal["mean", "counts", "volume", "none"]

ROUNDING = 1e-4
"""The largest asymmetry, or change of a probability, that may be rounding: networks that are
symmetric by construction stay far below."""

ALIKE = 1.1
"""Sides of which one counts a tenth more than the other, or less, are called alike."""

BASELINE = "rgb"
"""The strategy whose value is compared with those of all others."""


@dataclass(frozen=True)
class Score:
    """One score, or one metric of attributions, of which a record may hold several values."""

    key: str
    """Its keys in a record. ``{attribution}``, ``{target}``, ``{threshold}`` and ``{slice}`` stand
    for each of those that a protocol scores, ``{map}`` for an attribution that gives maps, and
    ``{shapley}`` for ``slice-shapley``, which gives none."""
    title: str
    """A few letters for the head of a column."""
    meaning: str
    """Its meaning, as a phrase that ends a line "title: …"."""
    better: Better | None = None
    """Which values are the better ones; None where neither way is."""
    bounds: tuple[float, float] = (0, 1)
    """The least and the greatest value that it can have."""
    digits: int = 3
    """The decimals that it is shown with."""
    pooling: Pooling = "mean"
    """How a test split's value comes of its sections: their ``mean``, those that have one; from
    their added ``counts`` of pixels; from the ``volume`` as a whole, with no value of a section;
    or ``none``, where sections alone have one."""
    absolute: bool = False
    """Whether |value| of a cell is what is compared: the sign is an accident of the weights."""
    floor: float = 0
    """The |value| of a cell below which it is 0, for rounding makes as much of nothing."""
    glance: bool = False
    """Whether it is among the few that a narrow terminal and the picture show."""
    over_training: bool = False
    """Whether it is also taken while a network is trained."""
    long_title: str = ""
    compute: Callable[..., Any] | None = None
    """The function that computes it, where it is registered with one."""

    @property
    def name(self) -> str:
        """The name that its key ends in, as ``dice`` or ``model_asymmetry``."""
        return score_name(self.key)

    @property
    def term(self) -> str:
        """The name that it has in a sentence."""
        return self.long_title or self.title

    @property
    def compared_bounds(self) -> tuple[float, float]:
        """The bounds of what is compared: those of |value| where that is."""
        return (0, max(map(abs, self.bounds))) if self.absolute else self.bounds

    @property
    def baseline(self) -> str | None:
        """The strategy that others are compared with by it; None where neither way is better."""
        return BASELINE if self.better else None


def score_name(key: str) -> str:
    """Return the score's name in a record's key.

    >>> score_name("dice@0.5"), score_name("saliency/true-foreground/slice_share[-1]")
    ('dice', 'slice_share')
    """
    return re.split(r"[@\[]", key.rpartition("/")[2])[0]
