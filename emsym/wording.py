"""Numbers, intervals, durations and slices in words, the same everywhere."""

import pandas as pd


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
    if value is None or pd.isna(value):
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
    if pd.isna(low) or pd.isna(high):
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


def slice_name(share: str) -> str:
    """Of a share's name, the slice's.

    >>> slice_name("saliency/all/slice_share[-1]"), slice_name("a/all/slice_share[+0]")
    ('z−1', 'z')
    """
    offset = int(share.partition("[")[2].removesuffix("]"))
    return "z" if offset == 0 else f"z{offset:+d}".replace("-", "−")
