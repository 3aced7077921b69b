"""How far the predicted boundaries move, in nanometres, when the stack is reversed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emsym.scores.score import Score

if TYPE_CHECKING:
    import numpy as np

    from emsym.scores.optional.scored_sections import ScoredSections


def boundary_displacement(sections: ScoredSections) -> np.ndarray:
    """Return the mean distance of the boundaries predicted from x and mirror x in nm, (n,).

    It is the average symmetric surface distance in a section (Heimann et al. 2009,
    doi 10.1109/TMI.2009.2013851): from each boundary pixel of one mask to the nearest of the other,
    and the other way round, the mean over all. A boundary pixel is one of the foreground with a
    neighbour, up, down, left or right, that is none; the section's edge is no boundary. 0 where
    reversing the stack moves none; NaN where a mask has none, or pixels have no known size.
    """
    import numpy as np

    if np.isnan(sections.voxel_size_nm).any():
        return np.full(len(sections.x), np.nan)
    pairs = zip(sections.predicted, sections.mirror_predicted, strict=True)
    return np.array([surface_distance(*pair, sections.voxel_size_nm[1:]) for pair in pairs])


def surface_distance(one: np.ndarray, other: np.ndarray, size: tuple[float, float]) -> float:
    """Return the average symmetric surface distance of two bool masks (H, W), in units of `size`.

    `size` is a pixel's height and width. NaN where a mask has no boundary.
    """
    import numpy as np
    from scipy.ndimage import binary_erosion, distance_transform_edt

    edges = [mask & ~binary_erosion(mask, border_value=1) for mask in (one, other)]
    if not all(edge.any() for edge in edges):
        return math.nan
    away = [distance_transform_edt(~edge, sampling=size) for edge in edges]
    return float(np.concatenate([away[1][edges[0]], away[0][edges[1]]]).mean())


BOUNDARY_DISPLACEMENT = Score(
    "boundary_displacement",
    "boundary shift (nm)",
    "how far the predicted boundaries move, on average, when the stack is reversed.",
    "low",
    bounds=(0, math.inf),
    digits=1,
    long_title="boundary shift",
    compute=boundary_displacement,
)
