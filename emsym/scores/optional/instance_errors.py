"""Errors of instances by the conventions of others: the Rand error of challenges, and VOI."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emsym.scores.score import Score

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from emsym.scores.optional.scored_sections import ScoredSections


def arand_singletons(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the adapted Rand error in which every predicted 0 is a segment of one pixel.

    So SNEMI3D and CREMI count it (https://cremi.org/metrics/): a predicted membrane joins nothing.
    `emsym.scores.segmentation.arand` takes all of it for one segment. Both are integer labels of
    one shape; what is 0 in the truth does not count. None as there.
    """
    import numpy as np

    from emsym.scores.segmentation import arand

    singles = predicted.copy()
    nothing = predicted == 0
    singles[nothing] = predicted.max(initial=0) + 1 + np.arange(np.count_nonzero(nothing))
    return arand(singles, truth)


def voi(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float] | None:
    """Return H(predicted | truth), the splits, and H(truth | predicted), the mergers, in bits.

    The two parts of the variation of information (Meilă 2007, doi 10.1016/j.jmva.2006.11.013) by
    scikit-image. Both are integer labels of one shape; what is 0 in the truth does not count, and a
    predicted 0 is one more segment. None without true instances.
    """
    from skimage.metrics import variation_of_information

    if not truth.any():
        return None
    split, merge = variation_of_information(truth, predicted, ignore_labels=(0,))
    return float(split) + 0.0, float(merge) + 0.0


def _of_sections(
    sections: ScoredSections, error: Callable[[np.ndarray, np.ndarray], float | None]
) -> np.ndarray:
    """Compute an error of the instances of each section, pieces counted apart, (n,)."""
    import numpy as np

    from emsym.data.labels import instances_2d
    from emsym.scores.segmentation import components

    if sections.instances is None:
        return np.full(len(sections.x), np.nan)
    values = []
    for mask, truth in zip(sections.predicted, instances_2d(sections.instances), strict=True):
        value = error(components(mask, sections.instances_lie), truth)
        values.append(math.nan if value is None else value)
    return np.array(values)


def _singletons(sections: ScoredSections) -> np.ndarray:
    return _of_sections(sections, arand_singletons)


def _split(sections: ScoredSections) -> np.ndarray:
    return _of_sections(sections, lambda *labels: (voi(*labels) or (None,))[0])


def _merge(sections: ScoredSections) -> np.ndarray:
    return _of_sections(sections, lambda *labels: (voi(*labels) or (None,))[-1])


INSTANCE_ERRORS = (
    Score(
        "arand_singletons",
        "ARAND 2D, singletons",
        "adapted Rand error of the instances of a section, where every pixel that is in no "
        "predicted instance is a segment by itself, as SNEMI3D and CREMI count it.",
        "low",
        compute=_singletons,
    ),
    Score(
        "voi_split",
        "VOI split",
        "bits of the variation of information that come of true instances cut in pieces.",
        "low",
        bounds=(0, math.inf),
        compute=_split,
    ),
    Score(
        "voi_merge",
        "VOI merge",
        "bits of the variation of information that come of true instances merged into one.",
        "low",
        bounds=(0, math.inf),
        compute=_merge,
    ),
)
