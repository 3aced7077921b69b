"""Slice removal: the faithfulness of an attribution at the level of whole slices."""

from itertools import groupby, permutations, product

import numpy as np

from emsym.scores.faithfulness.shared_passes import Total, span
from emsym.scores.symmetry import slice_share


def slice_removal(total: Total, x: np.ndarray, attribution: np.ndarray) -> float:
    """Area between the curves of T as slices are removed, least first minus greatest first.

    See `emsym.scores.faithfulness.metrics.slice_removal`. x and the attribution are (S, H, W).
    """
    slices = len(x)
    orders = ranked(slice_share(attribution[None])[0])
    # the sets of slices that are removed before step k = 1 … S − 1
    greatest = [frozenset(order[:k]) for order in orders for k in range(1, slices)]
    least = [frozenset(order[-k:]) for order in orders for k in range(1, slices)]
    removed = list(dict.fromkeys(greatest + least))
    whole, nothing = span(total, x)
    if not removed or np.isnan(whole):
        return np.nan
    kept = np.array([[s not in each for s in range(slices)] for each in removed])
    values = total(x * kept[:, :, None, None].astype(x.dtype))
    relative = dict(zip(removed, (values - nothing) / (whole - nothing), strict=True))
    return float(np.mean([relative[b] - relative[a] for a, b in zip(greatest, least, strict=True)]))


def ranked(share: np.ndarray) -> list[tuple[int, ...]]:
    """All orders of the slices from greatest to least share, (S,); several where some are equal.

    >>> ranked(np.array([0.2, 0.2, 0.6]))
    [(2, 0, 1), (2, 1, 0)]
    """
    rounded = np.round(share, 6)
    descending = sorted(range(len(share)), key=lambda s: -rounded[s])
    ties = [tuple(same) for _, same in groupby(descending, key=lambda s: rounded[s])]
    return [sum(each, ()) for each in product(*map(permutations, ties))]
