"""The page's charts as numbers: where marks, lines and ticks of an SVG lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 26, 44
LINES = 12
"""Curves in one chart, at most: more cannot be told apart."""


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies, to a tenth of a pixel."""
        part = (value - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(pixel, label) of round values."""
        step = nice(self.high - self.low)
        digits = max(0, -math.floor(math.log10(step)))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(self(i * step), f"{i * step:.{digits}f}") for i in range(first, last + 1)]


@dataclass(frozen=True)
class BarScale:
    """The scale on which the intervals of a column of the table are drawn: 0 to 100."""

    low: float
    high: float
    mark: float
    """The value of a line across: nothing, or no difference."""

    def place(self, value: float) -> float:
        """Where a value lies, to a tenth, no further than the ends."""
        part = 100 * (value - self.low) / (self.high - self.low)
        return round(min(100.0, max(0.0, part)), 1)

    def bar(self, mean: float, low: float, high: float) -> dict[str, float | None]:
        """The places of a mean, of its interval where it has one, and of the mark."""
        known = math.isfinite(low) and math.isfinite(high)
        return {
            "mean": self.place(mean),
            "low": self.place(low) if known else None,
            "high": self.place(high) if known else None,
            "mark": self.place(self.mark),
        }


def bar_scale(kind: str, values: Sequence[float]) -> BarScale:
    """The scale that holds these values; charts.js does the same.

    Of differences, ``less``, no difference is in the middle. Costs are ratios, marked at 1; all
    else begins at 0.
    """
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    if kind == "less":
        return BarScale(-most, most, 0)
    if kind == "cost":
        return BarScale(0, max(2.0, most), 1)
    return BarScale(0, most, 0)


def nice(span: float) -> float:
    """A round step of which about five make up a span.

    >>> nice(1.0), nice(0.034)
    (0.2, 0.01)
    """
    power = 10 ** math.floor(math.log10(span / 5))
    factor = next(f for f in (1, 2, 5, 10) if f * power >= span / 5 * 0.999)
    return round(factor * power, 12)


def axes(x: Sequence[float], y: Sequence[float], from_zero: bool) -> tuple[Axis, Axis]:
    """Scales that hold these values, x from 0, y from 0 if asked for; y points up."""
    top = max([v for v in x if math.isfinite(v)], default=1) * 1.12 or 1
    known = [v for v in y if math.isfinite(v)] or [0, 1]
    low, high = min(known), max(known)
    room = max((high - low) * 0.12, 0.005)
    return (
        Axis(0, top, LEFT, WIDTH - RIGHT),
        Axis(0 if from_zero else low - room, high + room, HEIGHT - BOTTOM, TOP),
    )


@dataclass(frozen=True)
class Curve:
    """A strategy's line, with the place of its name after the last point."""

    name: str
    path: str
    label: tuple[float, float]
    style: int
    text: str


def curves(table: pd.DataFrame, order: Sequence[str]) -> tuple[list[Curve], Axis, Axis] | None:
    """Curves of a table (index: step, columns: strategies); None where there is nothing."""
    names = [name for name in order if name in table and table[name].notna().all()][:LINES]
    if len(table) < 2 or not names:
        return None
    steps = [float(step) for step in table.index]
    x, y = axes(steps, table[names].to_numpy().ravel().tolist(), from_zero=True)
    x = Axis(0, max(steps), LEFT, WIDTH - 150)
    lines = []
    ends = _spread({name: y(table[name].iloc[-1]) for name in names})
    for style, name in enumerate(names):
        points = [f"{x(step)} {y(value)}" for step, value in zip(steps, table[name], strict=True)]
        text = ", ".join(f"{value:.3f} at step {step:.0f}" for step, value in table[name].items())
        lines.append(
            Curve(name, "M" + "L".join(points), (x(steps[-1]) + 8, ends[name]), style, text)
        )
    return lines, x, y


def labels(marks: dict[str, tuple[float, float]]) -> dict[str, float | None]:
    """Heights of the names to the right of marks (x, y), where they cover no mark and no name.

    The nearest that is free, above the mark or below; None where none in the plot is. charts.js
    does the same.

    >>> labels({"left": (0, 50.0), "right": (20, 52.0), "far": (400, 52.0)})
    {'left': 42.0, 'right': 60.0, 'far': 44.0}
    """
    heights: dict[str, float] = {}
    places: dict[str, float | None] = {}
    for name, (x, y) in sorted(marks.items(), key=lambda item: item[1][1]):
        end = x + 9 + 7.5 * len(name)

        def free(height: float, name: str = name, x: float = x, end: float = end) -> bool:
            others = [mark for other, mark in marks.items() if other != name]
            circles = [c for a, c in others if x < a + 7 and a - 7 < end]
            names = [
                heights[other]
                for other in heights
                if marks[other][0] < end and x < marks[other][0] + 9 + 7.5 * len(other)
            ]
            return (
                TOP < height < HEIGHT - BOTTOM
                and all(abs(c - height + 4) >= 12 for c in circles)
                and all(abs(place - height) >= 13 for place in names)
            )

        steps = (y + sign * 4 * step for step in range(2, 60) for sign in (-1, 1))
        found = next((each for each in steps if free(each)), None)
        places[name] = None if found is None else round(found, 1)
        if found is not None:
            heights[name] = round(found, 1)
    return places


def _spread(places: dict[str, float], apart: float = 15) -> dict[str, float]:
    """Heights of labels, moved up until none covers another or the axis.

    >>> _spread({"high": 100.0, "low": 314.0, "lowest": 316.0})
    {'lowest': 308, 'low': 293, 'high': 100.0}
    """
    heights: dict[str, float] = {}
    last: float = HEIGHT - BOTTOM - 8 + apart
    for name, place in sorted(places.items(), key=lambda item: -item[1]):
        heights[name] = last = round(min(place, last - apart), 1)
    return heights
