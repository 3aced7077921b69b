"""The scores of plug-ins: called with what was measured of a group of sections, and checked."""

from collections.abc import Sequence

import numpy as np

from emsym.errors import UserError
from emsym.scores.catalogue import ScoredSections, plugin_score
from emsym.scores.measure import Measurement
from emsym.scores.score import Score

SLACK = 1e-6
"""How far rounding may carry a value over its bounds."""


def plugin_scores(
    measured: Measurement, names: Sequence[str], threshold: float
) -> dict[str, np.ndarray]:
    """Compute the named scores of a group of n labelled sections: key → (n,) float, NaN as missing.

    Raises `UserError` where a function gives anything else, or a value outside its bounds.
    """
    if not names:
        return {}
    sections = _sections(measured, threshold)
    scores = [plugin_score(name) for name in names]
    return {score.key: _values(score, sections) for score in scores}


def _sections(measured: Measurement, threshold: float) -> ScoredSections:
    assert measured.truth is not None
    return ScoredSections(
        x=measured.x.numpy(force=True),
        truth=measured.truth.numpy(force=True),
        probability=measured.probability,
        mirrored=measured.mirrored,
        threshold=threshold,
        masks={target: mask.numpy(force=True) for target, mask in measured.masks.items()},
        attributions={at: each.numpy(force=True) for at, each in measured.maps.items()},
    )


def _values(score: Score, sections: ScoredSections) -> np.ndarray:
    assert score.compute is not None
    values = np.asarray(score.compute(sections))
    count = len(sections.x)
    if values.shape != (count,) or values.dtype.kind not in "fiub":
        raise UserError(
            f"The score '{score.name}' gives {values.dtype} of shape {values.shape} for {count} "
            "sections: it must give one number for each."
        )
    values = values.astype(float)
    low, high = score.bounds
    outside = np.isinf(values) | (values < low - SLACK) | (values > high + SLACK)
    if outside.any():
        raise UserError(
            f"The score '{score.name}' gives {values[outside][0]:g}, which is not within "
            f"{low:g} and {high:g}."
        )
    return values
