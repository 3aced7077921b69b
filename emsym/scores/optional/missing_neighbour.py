"""Dice where the slice before the segmented one is missing, and where the slice after it is.

A missing slice is replaced by the training mean, as it is for Shapley values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emsym.scores.score import ROUNDING, Score

if TYPE_CHECKING:
    import numpy as np

    from emsym.scores.optional.scored_sections import ScoredSections


def dice_without(sections: ScoredSections, step: int, *, reverse: bool = False) -> np.ndarray:
    """Return Dice against the labels with the slice `step` after the centre missing, (n,).

    −1 is the slice before it. With `reverse` the stack is reversed first, and the slice is the one
    that then stands there. NaN where there is no foreground on either side, or no label.
    """
    import numpy as np

    slices = sections.x.shape[1]
    order = list(range(slices))[:: -1 if reverse else 1]
    if slices > 1:
        order[slices // 2 + step] = -1
    predicted = sections.predicted_from(tuple(order)) & sections.known
    truth = sections.truth & sections.known
    both, total = (predicted & truth).sum((1, 2)), predicted.sum((1, 2)) + truth.sum((1, 2))
    there = (total > 0) & sections.known.any((1, 2))
    dice = np.full(len(truth), np.nan)
    np.divide(2 * both, total, out=dice, where=there)
    return dice


def _without_before(sections: ScoredSections) -> np.ndarray:
    return dice_without(sections, -1)


def _without_after(sections: ScoredSections) -> np.ndarray:
    return dice_without(sections, 1)


def missing_asymmetry(sections: ScoredSections) -> np.ndarray:
    """Return ½ (a(x) + a(mirror x)), (n,), a = Dice without the slice before − without that after.

    Positive where more is lost without the slice after the segmented one. By reversing the stacks,
    too, what the image brings cancels: 0 for a network that treats both sides alike.
    """
    there, back = (
        dice_without(sections, -1, reverse=reverse) - dice_without(sections, 1, reverse=reverse)
        for reverse in (False, True)
    )
    return (there + back) / 2


MISSING_NEIGHBOUR = (
    Score(
        "dice_without_before",
        "Dice without z−1",
        "mean over the test sections, with the slice before the segmented one missing.",
        "high",
        compute=_without_before,
    ),
    Score(
        "dice_without_after",
        "Dice without z+1",
        "the same with the slice after it missing.",
        "high",
        compute=_without_after,
    ),
    Score(
        "missing_asymmetry",
        "missing asym.",
        "how much more Dice is lost without the slice on one side than without that on the other; "
        "the CSV files hold its sign, positive where that after the segmented one is missed more.",
        "low",
        bounds=(-1, 1),
        absolute=True,
        floor=ROUNDING,
        long_title="missing asymmetry",
        compute=missing_asymmetry,
    ),
)
