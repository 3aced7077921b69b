"""The summary of the sections that were looked at: intervals, and the numbers of a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emsym.auditing.effect import answer_effect
from emsym.auditing.intervals import mean_interval, part_intervals
from emsym.auditing.result import Interval, SymmetryResult
from emsym.auditing.verdict import Measured, ratio
from emsym.auditing.walk import Walk
from emsym.protocol import SHAPLEY
from emsym.scores.catalogue import score_of
from emsym.scores.score import ROUNDING
from emsym.scores.segmentation import pooled
from emsym.scores.targets import Target

_SCORES = (
    *("imbalance", "neighbour_asymmetry", "model_asymmetry", "data_asymmetry"),
    "mirror_distance",
)
"""The scores of `SymmetryResult` beside the shares, by the names of the catalogue."""


@dataclass(frozen=True)
class Summary:
    """The intervals of an audit over the sections that were looked at so far."""

    columns: Mapping[str, np.ndarray]
    """Every score of every section, (n,) each, as `emsym.scores.measure` names them."""
    slices: int
    blocks: np.ndarray
    """(n,) as of `blocks_of`."""
    level: float
    """The level of the intervals."""

    def mean(self, name: str, within: tuple[float, float]) -> Interval | None:
        """Return the mean of a score over sections; see `mean_interval`."""
        return mean_interval(self.columns[name], self.blocks, within, self.level)

    def symmetry(self, name: str, target: Target) -> SymmetryResult:
        """Return the symmetry scores of one attribution method and target."""
        prefix = f"{name}/{target}/"
        shares = [f"{prefix}slice_share[{s - self.slices // 2:+d}]" for s in range(self.slices)]
        share = [each for column in shares if (each := self.mean(column, (0, 1))) is not None]
        scores = {
            score: self.mean(prefix + score, score_of(score).bounds)
            for score in _SCORES
            if prefix + score in self.columns
        }
        return SymmetryResult(
            attribution=name,
            target=target,
            share=share or None,
            ratio=ratio(scores["model_asymmetry"]),
            **dict.fromkeys(_SCORES) | scores,
            missing=int(np.isnan(self.columns[shares[0]]).sum()),
        )

    def shapley(self, target: Target) -> list[Interval] | None:
        """Return the Shapley value of each slice as a part; see `part_intervals`."""
        prefix = f"{SHAPLEY}/{target}/slice_shapley"
        values = [self.columns[f"{prefix}[{s - self.slices // 2:+d}]"] for s in range(self.slices)]
        return part_intervals(np.stack(values, 1), self.blocks, self.level)

    def measured(
        self, headline: tuple[str, Target], methods: Sequence[str], walk: Walk, available: int
    ) -> Measured:
        """Return the numbers that a verdict is made of, of `available` sections in all."""
        name, target = headline
        flips, asymmetry = (
            self.columns[key] for key in ("flip_error", f"{name}/{target}/model_asymmetry")
        )
        largest = np.concatenate([np.abs(asymmetry[np.isfinite(asymmetry)]), flips]).max()
        exact, flip_error = bool(largest < ROUNDING), self.mean("flip_error", (0, 1))
        assert flip_error is not None  # every section has one
        dice = tuple(
            pooled(counts).dice if counts else None
            for counts in (walk.counts, walk.reversed, walk.averaged)
        )
        flip_dice = self.mean("flip_dice", (0, 1))
        by_values = self.symmetry(SHAPLEY, target) if SHAPLEY in methods else None
        return Measured(
            slices=self.slices,
            sections=len(flips),
            available=available,
            valued=int(np.isfinite(asymmetry).sum()),
            headline=self.symmetry(name, target),
            exact_values=None if by_values is None else by_values.model_asymmetry,
            flip_error=flip_error,
            effect=answer_effect(flip_error, flip_dice, dice, exact, walk.predicted),
            exact=exact,
            empty=int((self.columns[f"{target}/pixels"] == 0).sum()),
        )
