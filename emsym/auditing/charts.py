"""The geometry of the report's charts, and the size of its pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from emsym.auditing.result import Interval, SectionExample
from emsym.wording import significant_interval, slice_names

ROW = 960
"""Pixels of the S pictures of a row together, and of the prediction and what stands beside it."""

_WIDEST = 288
_LEAST_WHITE = 0.1
"""The difference of probabilities that is drawn white is at least this: rounding stays black."""


def difference_white(examples: Iterable[SectionExample]) -> float:
    """Return the difference of probabilities that is drawn white, the same in all examples."""
    apart = (float(np.percentile(each.flip_error, 99.9)) for each in examples)
    return max([_LEAST_WHITE, *apart])


def longest_side(slices: int) -> int:
    """Return the longest side of each picture of a row of S, in pixels.

    >>> [longest_side(slices) for slices in (1, 3, 5, 7)]
    [288, 288, 192, 137]
    """
    return min(_WIDEST, ROW // slices)


def slice_side(index: int, slices: int) -> str:
    """Return where a slice of a stack lies: ``before`` or ``after`` the centre, or ``centre``."""
    offset = index - slices // 2
    return "centre" if offset == 0 else "before" if offset < 0 else "after"


@dataclass(frozen=True)
class Bar:
    """A bar from zero to a value, in thousandths of the width of its chart."""

    name: str
    side: str
    zero: float
    start: float
    length: float
    whisker: tuple[float, float] | None
    text: str


def bars(values: Sequence[Interval], beside: Iterable[Interval] | None = None) -> list[Bar]:
    """Return a bar for each slice, on one scale with those of `beside`."""
    ends = [
        end
        for each in (values if beside is None else beside)
        for end in (each.value, each.low, each.high)
        if end is not None
    ]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    scale = 1000 / (high - low or 1)

    def place(value: float) -> float:
        return round((value - low) * scale, 1)

    return [
        Bar(
            name=name,
            side=slice_side(index, len(values)),
            zero=place(0),
            start=place(min(0.0, each.value)),
            length=round(abs(each.value) * scale, 1),
            whisker=(place(each.low), place(each.high))
            if each.low is not None and each.high is not None
            else None,
            text=significant_interval(each.value, each.low, each.high),
        )
        for index, (name, each) in enumerate(zip(slice_names(len(values)), values, strict=True))
    ]


def curve(values: Sequence[float]) -> tuple[str, float]:
    """Return an SVG path through values from left to right, and the height of 1.

    Both lie in a box of 1000 × 100, from 0 at the bottom to 1, or the largest value, at the top.

    >>> curve([0.5, 2])
    ('M0 75L1000 0', 50.0)
    """
    top, step = max(1.0, *values), 1000 / max(1, len(values) - 1)
    points = [
        f"{index * step:.4g} {100 * (1 - value / top):.4g}" for index, value in enumerate(values)
    ]
    return f"M{'L'.join(points)}", round(100 * (1 - 1 / top), 1)


def outlines(filters: Iterable[Sequence[float | None]]) -> tuple[list[str], int]:
    """Return the shares (F, S) of filters as S SVG paths in a box of 1000 × 100, and how many.

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
    """Return the steps of `top` from left to right, and those of `bottom` back."""
    forth = [f"V{y:.4g}H{x:.4g}" for y, x in zip(top, edge[1:], strict=True)]
    back = [f"V{y:.4g}H{x:.4g}" for y, x in zip(bottom[::-1], edge[-2::-1], strict=True)]
    return f"M0 {top[0]:.4g}{''.join(forth)}{''.join(back)}Z"
