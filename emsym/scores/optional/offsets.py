"""How far off the section a network looks, and how far off it answers, in nanometres along z."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.scores.score import Score

if TYPE_CHECKING:
    import numpy as np

    from emsym.scores.optional.scored_sections import ScoredSections


def view_offset(sections: ScoredSections) -> np.ndarray:
    """Return ½ (c(x) + c(mirror x)) in nm, (n,), c = d · Σ_s s |φ_s| / Σ_s |φ_s|.

    φ_s is the exact Shapley value of slice s = −k … k over the protocol's first target, and d the
    distance of sections: c is the place along z where, on average, what counts lies, and the half
    sum what of it is the network's own. A network that reads slice s alone has s · d; one that
    mixes slices of the same content has the mean of their places; one that treats both sides alike
    has 0, whatever the image holds. NaN where the target is empty.

    Raises `UserError` where no Shapley values are scored.
    """
    import numpy as np

    from emsym.scores.symmetry import slice_share

    if not sections.slice_values:
        raise UserError(
            "The score 'view_offset' is made of exact Shapley values: name slice-shapley among the "
            "protocol's attributions, or leave the score out."
        )
    there, back = (
        slice_share(values[:, :, None, None])
        for values in next(iter(sections.slice_values.values()))
    )
    places = np.arange(there.shape[1]) - there.shape[1] // 2
    return sections.voxel_size_nm[0] * ((there + back) @ places) / 2


def answer_offset(sections: ScoredSections) -> np.ndarray:
    """Return d · Σ (p(x) − p(mirror x)) · D / Σ D² in nm, (n,), D = label(z+1) − label(z−1).

    It is the shift along z, by less than a section, at which the labels explain best (by least
    squares) how the answers to a stack and to the reversed one differ: a network that gives
    (1 − t) · label(z) + t · label(z+1) has t · d, and one that treats both sides alike has 0,
    whatever the image holds. d is the distance of sections. NaN where no label changes from z−1 to
    z+1, and where those of the neighbours are not at hand.
    """
    import numpy as np

    if sections.slice_truth is None or sections.slice_truth.shape[1] == 1:
        return np.full(len(sections.x), np.nan)
    centre = sections.slice_truth.shape[1] // 2
    after, before = (sections.slice_truth[:, centre + step].astype(float) for step in (1, -1))
    change = (after - before) * sections.known
    moved = (sections.probability - sections.mirrored) * change
    total = np.square(change).sum((1, 2))
    shift = np.full(len(total), np.nan)
    np.divide(moved.sum((1, 2)), total, out=shift, where=total > 0)
    return sections.voxel_size_nm[0] * shift


FLOOR = 0.01
"""nm below which an offset may be rounding: three in ten thousand of a section of 30."""

OFFSETS = (
    Score(
        "view_offset",
        "view offset (nm)",
        "how far off the section, along z, lies what the network looks at: the centroid of exact "
        "Shapley values of slices, whose sign the CSV files hold.",
        "low",
        bounds=(-math.inf, math.inf),
        digits=2,
        absolute=True,
        floor=FLOOR,
        long_title="view offset",
        compute=view_offset,
    ),
    Score(
        "answer_offset",
        "answer offset (nm)",
        "how far off the section, along z, the labels lie that explain best how the answer moves "
        "when the stack is reversed; the CSV files hold its sign.",
        "low",
        bounds=(-math.inf, math.inf),
        digits=2,
        absolute=True,
        floor=FLOOR,
        long_title="answer offset",
        compute=answer_offset,
    ),
)
