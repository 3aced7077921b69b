"""The report's pictures: arrays in, PNG files as data URIs and the outlines of a chart out."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

ROW = 960
"""Pixels of the S pictures of a row together, and of the prediction and what stands beside it."""

_WIDEST = 288


def side(slices: int) -> int:
    """The longest side of each picture of a row of S, in pixels.

    >>> [side(slices) for slices in (1, 3, 5, 7)]
    [288, 288, 192, 137]
    """
    return min(_WIDEST, ROW // slices)


def outlines(filters: Iterable[Sequence[float | None]]) -> tuple[list[str], int]:
    """The shares (F, S) of each filter as S SVG paths in a box of 1000 × 100, and how many filters.

    A column for each filter, from those that weigh the slices before the centre most to those that
    weigh the slices after it most; the first slice on top. Filters of zeros have no shares and are
    left out.
    """
    share = np.array(list(filters), float)
    share = share[np.isfinite(share).all(1)] if share.ndim == 2 else np.empty((0, 1))
    if not len(share):
        return [], 0
    centre = share.shape[1] // 2
    leaning = share[:, :centre].sum(1) - share[:, share.shape[1] - centre :].sum(1)
    share = share[np.argsort(-leaning, kind="stable")]
    depth = np.cumsum(np.pad(share, ((0, 0), (1, 0))), 1).clip(0, 1) * 100
    edge = np.linspace(0, 1000, len(share) + 1)
    return [_band(edge, top, bottom) for top, bottom in pairwise(depth.T)], len(share)


def _band(edge: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> str:
    """The steps of `top` from left to right, and those of `bottom` back."""
    there = [f"V{y:.4g}H{x:.4g}" for y, x in zip(top, edge[1:], strict=True)]
    back = [f"V{y:.4g}H{x:.4g}" for y, x in zip(bottom[::-1], edge[-2::-1], strict=True)]
    return f"M0 {top[0]:.4g}{''.join(there)}{''.join(back)}Z"
