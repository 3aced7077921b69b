"""Numbers, intervals, durations and slices in words, the same everywhere."""

import math
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """In the units that a person would use.

    >>> [duration(s) for s in (8, 95, 4_000, 200_000)]
    ['8 s', '1 min 35 s', '1 h 7 min', '2 d 8 h']
    """
    for unit, name, part, small in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if round(seconds) >= unit:
            whole, rest = divmod(round(seconds / part), unit // part)
            return f"{whole} {name}" + (f" {rest} {small}" if rest else "")
    return f"{seconds:.0f} s"


MISSING = "–"


def number(value: float | None, digits: int) -> str:
    """With so many decimals and a real minus; – for a missing value.

    >>> number(-0.1234, 3), number(-0.0001, 3), number(float("nan"), 3)
    ('−0.123', '0.000', '–')
    """
    if value is None or math.isnan(value):
        return MISSING
    told = f"{value:.{digits}f}"
    if float(told) == 0:
        told = told.removeprefix("-")
    return told.replace("-", "−")


def bounds(low: float, high: float, digits: int) -> str:
    """An interval, or nothing where there is none.

    >>> bounds(0.1, 0.25, 2), bounds(-0.1, 0.25, 2)
    ('0.10–0.25', '−0.10 to 0.25')
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    ends = number(low, digits), number(high, digits)
    return (" to " if "−" in "".join(ends) else "–").join(ends)


def interval(mean: float, low: float, high: float, digits: int) -> str:
    """A value with its interval.

    >>> interval(0.2, 0.1, 0.25, 2)
    '0.20 (0.10–0.25)'
    """
    within = bounds(low, high, digits)
    return f"{number(mean, digits)} ({within})" if within else number(mean, digits)


def p_value(p: float) -> str:
    """A p-value, to three decimals.

    >>> p_value(0.0004), p_value(0.0312)
    ('< .001', '.031')
    """
    if math.isnan(p):
        return MISSING
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def rank_range(first: float, last: float) -> str:
    """The ranks that a row may have; – where it has none.

    >>> rank_range(1, 3), rank_range(2, 2)
    ('1–3', '2')
    """
    if math.isnan(first):
        return MISSING
    return f"{first:.0f}" if first == last else f"{first:.0f}–{last:.0f}"


def shares(values: Iterable[float]) -> str:
    """Slice shares, from before to after.

    >>> shares([0.3, 0.6, 1.0])
    '.30 / .60 / 1.00'
    """
    return " / ".join(number(value, 2).removeprefix("0") for value in values)


def slice_name(share: str) -> str:
    """The slice that a share's key names.

    >>> slice_name("saliency/all/slice_share[-1]"), slice_name("a/all/slice_share[+0]")
    ('z−1', 'z')
    """
    offset = int(share.partition("[")[2].removesuffix("]"))
    return "z" if offset == 0 else f"z{offset:+d}".replace("-", "−")
