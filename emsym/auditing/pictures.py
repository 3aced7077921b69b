"""The report's pictures: arrays in, PNG files as data URIs and the outlines of a chart out."""

import base64
import io
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil

import numpy as np

ROW = 960
"""Pixels of the S pictures of a row together, and of the prediction and what stands beside it."""

_WIDEST = 288
_GREYS = 32
"""Levels of grey in a file: finer ones than these are noise in an EM section, and half its size."""


def side(slices: int) -> int:
    """The longest side of each picture of a row of S, in pixels.

    >>> [side(slices) for slices in (1, 3, 5, 7)]
    [288, 288, 192, 137]
    """
    return min(_WIDEST, ROW // slices)


def shrink(picture: np.ndarray, longest: int) -> np.ndarray:
    """(H, W) numbers → float32 whose longest side is at most `longest`: means of square blocks.

    So zero stays zero, the mean stays the mean, and a network's chequerboard leaves no moiré.
    """
    from PIL import Image

    image = Image.fromarray(np.asarray(picture, np.float32))
    return np.array(image.reduce(ceil(max(image.size) / longest)))


def data_uri(picture: np.ndarray) -> str:
    """(H, W) in 0..1, clipped, → a grey PNG as a data URI: 0 is black and 1 is white."""
    from PIL import Image

    level = np.rint(np.clip(picture, 0, 1) * (_GREYS - 1)).astype(np.uint8)
    image = Image.fromarray(level).convert("P")  # of a palette, PNG stores the levels unfiltered
    image.putpalette([round(i * 255 / (_GREYS - 1)) for i in range(_GREYS) for _ in "rgb"])
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def stretch(stack: np.ndarray) -> np.ndarray:
    """Grey levels (S, H, W) → 0..1, linear from the .5th to the 99.5th percentile of all slices."""
    low, high = np.percentile(stack, (0.5, 99.5))
    return np.clip((stack - low) / (high - low if high > low else 1), 0, 1)


def equalise(attribution: np.ndarray) -> np.ndarray:
    """|A| (S, H, W) → 0..1: the part of the non-zero pixels of all S maps that count no more.

    Histogram equalisation in the limit of infinitely many bins, over all slices of a stack
    together: each map by itself would be as bright as the others, whatever its slice counts. What
    counts nothing stays black, however many such pixels there are.
    """
    from scipy.stats import rankdata

    magnitude = np.abs(attribution)
    counts = magnitude > 0
    made = np.zeros(magnitude.shape)
    if counts.any():
        made[counts] = rankdata(magnitude[counts], "max") / counts.sum()
    return made


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
