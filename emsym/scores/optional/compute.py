"""Optional scores: computed of what was measured of a group of sections, and checked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emsym.errors import UserError
from emsym.scores.catalogue import optional_score
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import Measurement
from emsym.scores.optional.scored_sections import ScoredSections
from emsym.scores.score import Score
from emsym.scores.segmentation import Instances

SLACK = 1e-6
"""How far rounding may carry a value over its bounds."""


@dataclass(frozen=True)
class Surroundings:
    """The facts of a group of n sections that its measurement does not tell."""

    dense: DenseLogits
    voxel_size_nm: tuple[float, float, float]
    """Along z, y and x; NaN where nobody knows."""
    instances_lie: Instances = "foreground"
    instances: np.ndarray | None = None
    """The true ones, (n, H, W); None where they are not at hand."""
    slice_truth: np.ndarray | None = None
    """The labels of every slice, bool (n, S, H, W); None where they are not at hand."""


def optional_scores(sections: ScoredSections, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Compute the named scores of a group of n sections: key → (n,) float, NaN where missing.

    Raises `UserError` where a function gives anything else, or a value outside its bounds.
    """
    scores = [optional_score(name) for name in names]
    return {score.key: _values(score, sections) for score in scores}


def scored_sections(
    measured: Measurement, threshold: float, around: Surroundings
) -> ScoredSections:
    """Return a group of sections as optional scores see it; `threshold` is of the probability."""
    count, _, height, width = measured.x.shape
    truth = np.zeros((count, height, width), bool)
    known = truth
    if measured.truth is not None:
        truth, known = measured.truth.numpy(force=True), ~known
    if measured.labelled is not None:
        known = measured.labelled.numpy(force=True)
    return ScoredSections(
        x=measured.x.numpy(force=True),
        truth=truth,
        probability=measured.probability,
        mirrored=measured.mirrored,
        threshold=threshold,
        masks={target: mask.numpy(force=True) for target, mask in measured.masks.items()},
        attributions={at: each.numpy(force=True) for at, each in measured.maps.items()},
        known=known,
        predicted=measured.predicted,
        mirror_predicted=measured.mirror_predicted,
        slice_truth=around.slice_truth,
        instances=around.instances,
        instances_lie=around.instances_lie,
        voxel_size_nm=around.voxel_size_nm,
        slice_values=dict(measured.slice_values.items()),
        network=around.dense,
        predictions=measured.predictions,
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
