"""Numbers, intervals, durations and slices in words, the same everywhere."""

import math
from collections.abc import Iterable


def duration(seconds: float, digits: int = 0) -> str:
    """Say seconds in the units that a person would use; less than a minute with so many decimals.

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
    return f"{seconds:.{digits}f} s"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Say how many there are, in the singular where it is one; the plural has an s by default.

    >>> counted(1, "cell"), counted(0, "cell"), counted(2, "strategy", "strategies")
    ('1 cell', '0 cells', '2 strategies')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


MISSING = "–"


def number(value: float | None, digits: int) -> str:
    """With so many decimals and a real minus; – for a missing value.

    >>> number(-0.1234, 3), number(-0.0001, 3), number(float("nan"), 3)
    ('−0.123', '0.000', '–')
    """
    if value is None or math.isnan(value):
        return MISSING
    return _signed(f"{value:.{digits}f}")


def _signed(text: str) -> str:
    """Return a number with a real minus, and without one where it is rounded to 0."""
    return text.replace("-", "−" if text.strip("-0.") else "")


def significant(value: float | None, digits: int | None = None) -> str:
    """Say a number of an audit with two or three significant digits, or with so many decimals.

    A missing value, and one that is not finite, is –.

    >>> values = (0.4213, -0.0312, 0.00431, 0.9999, 1234.5, 2.3e-9, 0.0, None)
    >>> [significant(value) for value in values]
    ['0.421', '−0.031', '0.0043', '1.00', '1,234', '2.3 × 10⁻⁹', '0', '–']
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if digits is None:
        if value == 0:
            return "0"
        if abs(value) < 1e-4:
            return _power_of_ten(value)
        digits = _decimals(value)
    return _signed(f"{value:,.{digits}f}")


def significant_interval(value: float, low: float | None, high: float | None) -> str:
    """Say a value of an audit and the bounds of its interval, all with the same decimals.

    >>> significant_interval(1.904, 1.71, 2.1), significant_interval(0.001, -0.02, 0.021)
    ('1.90 (1.71–2.10)', '0.001 (−0.020 to 0.021)')
    """
    if low is None or high is None:
        return significant(value)
    largest = max(abs(value), abs(low), abs(high))
    digits = None if largest < 1e-4 else _decimals(largest)
    ends = significant(low, digits), significant(high, digits)
    return f"{significant(value, digits)} ({_joined(*ends)})"


def _decimals(value: float) -> int:
    """Return three digits, but no more than three decimals as long as these show two digits."""
    if abs(value) >= 0.01:
        return min(3, max(0, 2 - _magnitude(value, 3)))
    return 1 - _magnitude(value, 2)


def _magnitude(value: float, digits: int) -> int:
    """Return the exponent of ten of a value once rounded: of 0.9999, which is told as 1.00, 0."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _power_of_ten(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return _signed(f"{mantissa} × 10{superscript}")


def _joined(low: str, high: str) -> str:
    return f"{low}{' to ' if '−' in low + high else '–'}{high}"


def bounds(low: float, high: float, digits: int) -> str:
    """An interval, or nothing where there is none.

    >>> bounds(0.1, 0.25, 2), bounds(-0.1, 0.25, 2)
    ('0.10–0.25', '−0.10 to 0.25')
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    return _joined(number(low, digits), number(high, digits))


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
    return offset_name(int(share.partition("[")[2].removesuffix("]")))


def offset_name(offset: int) -> str:
    """Name a slice by its distance from the one that is segmented."""
    return f"z{offset:+d}".replace("-", "−") if offset else "z"


def slice_names(slices: int) -> list[str]:
    """Name the slices of a stack, first to last.

    >>> slice_names(3)
    ['z−1', 'z', 'z+1']
    """
    return [offset_name(index - slices // 2) for index in range(slices)]


def sides(slices: int) -> tuple[str, str]:
    """Name what lies before and after the centre of a stack.

    >>> sides(3), sides(5)
    (('z−1', 'z+1'), ('the slices before the centre', 'the slices after the centre'))
    """
    if slices == 3:
        return offset_name(-1), offset_name(1)
    return "the slices before the centre", "the slices after the centre"
