"""The audit's report: one HTML file that needs nothing else, to read, print and hand on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emsym.auditing.caveats import TARGETS, slice_names
from emsym.auditing.charts import outlines, side
from emsym.auditing.result import Audit, Interval, Pictures, SectionExample, SymmetryResult
from emsym.auditing.verdict import FLIP_ERROR, TOLERANCE
from emsym.files import write_atomically
from emsym.images import data_uri, equalise, shrink, stretch
from emsym.scores.symmetry import slice_share

if TYPE_CHECKING:
    from markupsafe import Markup

MISSING = "–"

_LEAST_WHITE = 0.1
"""The difference of probabilities that is drawn white is at least this: rounding stays black."""


def write_report(audit: Audit, pictures: Pictures, path: Path) -> None:
    """Write the report. Raises `UserError` where the file cannot be written."""
    write_atomically(path, html(audit, pictures))


def html(audit: Audit, pictures: Pictures) -> str:
    """The report as one HTML page without scripts, links to files or anything to be fetched."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "spread": _spread,
        "times": _times,
        "duration": duration,
    }
    names = slice_names(audit.slices)
    shown = audit.shown
    stem = [Interval(value=value) for value in audit.stem.share] if audit.stem else []
    share = shown.share or []
    bands, filters = outlines(audit.stem.filters) if audit.stem else ([], 0)
    mean_map = pictures.mean_map
    return environment.get_template("report.html").render(
        audit=audit,
        names=names,
        sides=[_side(index, audit.slices) for index in range(audit.slices)],
        share=bars(share, share + stem),
        shapley=bars(audit.shapley or []),
        stem=bars(stem, share + stem),
        bands=bands,
        filters=filters,
        leans=_leans(shown),
        shown=shown,
        valued=len(audit.data.sections) - shown.missing,
        where=TARGETS,
        tolerance=TOLERANCE,
        flip_error=FLIP_ERROR,
        white=_white(pictures.examples),
        examples=[_example(each, _white(pictures.examples)) for each in pictures.examples],
        mean_map=_mean_map(mean_map) if np.isfinite(mean_map).all() and mean_map.any() else [],
        MISSING=MISSING,
    )


def number(value: float | None, decimals: int | None = None) -> str:
    """Two or three significant digits, unless the decimals are given; – for a missing value.

    >>> [number(value) for value in (0.4213, -0.0312, 0.00431, 0.9999, 1234.5, 2.3e-9, 0.0, None)]
    ['0.421', '−0.031', '0.0043', '1.00', '1,234', '2.3 × 10⁻⁹', '0', '–']
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if decimals is None:
        if value == 0:
            return "0"
        if abs(value) < 1e-4:
            return _power_of_ten(value)
        decimals = _decimals(value)
    told = f"{value:,.{decimals}f}"
    if float(told.replace(",", "")) == 0:
        told = told.removeprefix("-")
    return told.replace("-", "−")


def interval(found: Interval | None) -> str:
    """A value and the bounds of its interval, with the same decimals.

    >>> interval(Interval(value=1.904, low=1.71, high=2.1))
    '1.90 (1.71–2.10)'
    >>> interval(Interval(value=0.001, low=-0.02, high=0.021))
    '0.001 (−0.020 to 0.021)'
    """
    if found is None:
        return MISSING
    if found.low is None or found.high is None:
        return number(found.value)
    largest = max(abs(found.value), abs(found.low), abs(found.high))
    decimals = None if largest < 1e-4 else _decimals(largest)
    value, low, high = (number(each, decimals) for each in (found.value, found.low, found.high))
    return f"{value} ({low}{' to ' if '−' in low + high else '–'}{high})"


def _spread(told: str) -> "Markup":
    """The bounds of an interval, as `interval` tells them, apart from the value."""
    from markupsafe import Markup

    value, bracket, bounds = told.partition(" (")
    if not bracket:
        return Markup("{}").format(told)
    return Markup('{} <span class="bounds">({}</span>').format(value, bounds)


def _times(told: str) -> str:
    value, bracket, bounds = told.partition(" (")
    return f"{value} ×{bracket}{bounds}"


def _decimals(value: float) -> int:
    """Three digits, but no more than three decimals as long as these show two digits."""
    if abs(value) >= 0.01:
        return min(3, max(0, 2 - _magnitude(value, 3)))
    return 1 - _magnitude(value, 2)


def _magnitude(value: float, digits: int) -> int:
    """The exponent of ten of a value as it is told: of 0.9999, which is told as 1.00, it is 0."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _power_of_ten(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{superscript}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(133.4), duration(2.34)
    ('2 min 13 s', '2.3 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _side(index: int, slices: int) -> str:
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
    told: str


def bars(values: Sequence[Interval], beside: Iterable[Interval] | None = None) -> list[Bar]:
    """A bar for each slice, none where there are no values; as long as those of `beside`."""
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
            side=_side(index, len(values)),
            zero=place(0),
            start=place(min(0.0, each.value)),
            length=round(abs(each.value) * scale, 1),
            whisker=(place(each.low), place(each.high))
            if each.low is not None and each.high is not None
            else None,
            told=interval(each),
        )
        for index, (name, each) in enumerate(zip(slice_names(len(values)), values, strict=True))
    ]


def _leans(shown: SymmetryResult) -> tuple[str, str, Interval] | None:
    """The side that counts more, the other, and how many times as much; None where unknown."""
    ratio = shown.ratio
    if ratio is None or ratio.value <= 0:
        return None
    if ratio.value >= 1:
        return "before", "after", ratio
    low, high = (1 / end if end else None for end in (ratio.high, ratio.low))
    return "after", "before", Interval(value=1 / ratio.value, low=low, high=high)


def _white(examples: Sequence[SectionExample]) -> float:
    """The difference that is drawn white, the same in all examples."""
    apart = [np.percentile(np.abs(each.probability - each.mirrored), 99.9) for each in examples]
    return max([_LEAST_WHITE, *apart])


def _example(example: SectionExample, white: float) -> dict[str, Any]:
    longest = side(len(example.stack))
    stack = np.stack([shrink(each, longest) for each in example.stack])
    maps = np.stack([shrink(each, longest) for each in np.abs(example.attribution)])
    beside = {
        "probability": example.probability,
        "difference": np.abs(example.probability - example.mirrored) / white,
        "truth": example.truth,
    }
    return {
        "section": example.section,
        "share": slice_share(example.attribution[None])[0].tolist(),
        "slices": [data_uri(each) for each in stretch(stack)],
        "maps": [data_uri(each) for each in equalise(maps)],
        "flip_error": float(np.abs(example.probability - example.mirrored).mean()),
    } | {
        name: None if each is None else data_uri(shrink(each, side(3)))
        for name, each in beside.items()
    }


def _mean_map(mean_map: np.ndarray) -> list[str]:
    shrunk = np.stack([shrink(each, side(len(mean_map))) for each in mean_map])
    white = np.percentile(shrunk, 99.5) or shrunk.max()
    return [data_uri(each) for each in shrunk / white]
