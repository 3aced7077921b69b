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
    """Return d · t in nm, (n,): the place along z whose labels explain the answer best.

    By least squares over the pixels with a label, with labels L₋₁, L₀ and L₊₁ of z−1, z and z+1,

        p(x) − p(mirror x) ≈ b t (L₊₁ − L₋₁),
        ½ (p(x) + p(mirror x)) ≈ a + b₀ L₀ + b₁ ½ (L₊₁ + L₋₁),  b = b₀ + b₁,

    so that b is how surely the answer follows labels at all, and d the distance of sections. A
    network that gives a + b ((1 − t) L₀ + t L₊₁) has t · d, and one that treats both sides alike
    has 0, whatever the image holds. What blurs an answer draws it towards 0: networks built to
    threshold grey values up to a section off get about half of that on phantoms, where
    `view_offset` gets .92 to 1 of it. NaN where no label changes from z−1 to z+1, where the answer
    follows the labels by less than `FOLLOWS`, and where those of the neighbours are not at hand.
    """
    import numpy as np

    if sections.slice_truth is None or sections.slice_truth.shape[1] == 1:
        return np.full(len(sections.x), np.nan)
    answers = zip(sections.probability, sections.mirrored, strict=True)
    labels = zip(sections.slice_truth, sections.known, strict=True)
    places = [
        _place_of_answer(*answer, *label) for answer, label in zip(answers, labels, strict=True)
    ]
    return sections.voxel_size_nm[0] * np.array(places)


def _place_of_answer(
    answer: np.ndarray, mirrored: np.ndarray, truth: np.ndarray, known: np.ndarray
) -> float:
    """Return t of `answer_offset` for one section: (H, W), (H, W), (S, H, W) and (H, W)."""
    import numpy as np

    centre = len(truth) // 2
    before, here, after = (truth[centre + step][known].astype(float) for step in (-1, 0, 1))
    change, mean = after - before, (answer[known] + mirrored[known]) / 2
    total = change @ change
    if not total:
        return math.nan
    even = np.stack([np.ones_like(here), here, (before + after) / 2], 1)
    follows = np.linalg.lstsq(even, mean.astype(float), rcond=None)[0][1:].sum()
    if follows < FOLLOWS:
        return math.nan
    return float((answer[known] - mirrored[known]) @ change / total / follows)


FOLLOWS = 0.1
"""How much higher the answer must be on labelled foreground than beside it to have a place."""

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
        "how far off the section, along z, the labels lie that explain the answer best; the CSV "
        "files hold its sign.",
        "low",
        bounds=(-math.inf, math.inf),
        digits=2,
        absolute=True,
        floor=FLOOR,
        long_title="answer offset",
        compute=answer_offset,
    ),
)
