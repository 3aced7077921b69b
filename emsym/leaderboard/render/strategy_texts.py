"""A line on each strategy from the registries, and a drawing of what it fills slices with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from emsym.errors import UserError
from emsym.models.fill_pattern import FillPattern, fill_pattern
from emsym.models.inits import INITS
from emsym.models.interventions.registry import INTERVENTIONS
from emsym.wording import offset_name

SIDE = 9
"""The side of a square of the drawing, in its own units."""


@dataclass(frozen=True)
class Square:
    """A square of the drawing: how much of a plane a slice is filled with."""

    x: float
    y: float
    size: float
    """Its side: the root of the weight, so that its area is as large as the weight."""
    negative: bool


@dataclass(frozen=True)
class StrategyText:
    """A strategy in words and as a drawing."""

    name: str
    line: str
    """The first line of its docstring, or its name where the line is told before it; empty where
    it is not registered here."""
    more: list[tuple[str, str, str]]
    """Its interventions: (name, when it acts, what it does)."""
    squares: list[Square]
    """Rows are red, green and blue, and columns the slices; empty where there is no such sum."""
    columns: int
    kind: str
    """As in `FillPattern`; empty where it is not known."""
    reading: str
    """The drawing in words."""


def strategy_texts(names: Sequence[str], slices: int) -> list[StrategyText]:
    """Return a text for each strategy, in this order."""
    patterns: dict[str, FillPattern | None] = {}
    made = []
    for name in names:
        strategy, *interventions = name.split("+")
        if strategy not in patterns:
            patterns[strategy] = fill_pattern(strategy, slices)
        pattern = patterns[strategy]
        more = [_intervention(each) for each in interventions]
        made.append(
            StrategyText(
                name,
                f"As “{strategy}”, and more." if more and strategy in names else _summary(strategy),
                more,
                _squares(pattern),
                slices,
                pattern.kind if pattern else "",
                _reading(pattern, slices),
            )
        )
    return made


def _summary(name: str) -> str:
    try:
        return _quoted(INITS.summary(name))
    except UserError:
        return ""


def _intervention(name: str) -> tuple[str, str, str]:
    try:
        when = INTERVENTIONS.get(name).when
    except UserError:
        return name, "", ""
    known = name if name in INTERVENTIONS.names() else name.rpartition("-")[0]
    return name, when, _quoted(INTERVENTIONS.summary(known))


def _quoted(line: str) -> str:
    """Return a line of a docstring with its code in quotation marks.

    >>> _quoted("As in `rgb`.")
    'As in “rgb”.'
    """
    return re.sub("`([^`]*)`", r"“\1”", line)


def _squares(pattern: FillPattern | None) -> list[Square]:
    if pattern is None or not pattern.weights:
        return []
    most = max(abs(weight) for row in pattern.weights for weight in row) or 1.0
    squares = []
    for y, row in enumerate(pattern.weights):
        for x, weight in enumerate(row):
            size = round(SIDE * (abs(weight) / most) ** 0.5, 1)
            if size:
                gap = (SIDE - size) / 2
                place = round(x * (SIDE + 1) + gap, 1), round(y * (SIDE + 1) + gap, 1)
                squares.append(Square(*place, size, weight < 0))
    return squares


def _reading(pattern: FillPattern | None, slices: int) -> str:
    """Say what each slice is filled with.

    >>> _reading(FillPattern("planes", ((0.5, 0, 0.5), (0, 1, 0), (0.5, 0, 0.5)), False), 3)
    'z−1: 0.5 R + 0.5 B; z: G; z+1: 0.5 R + 0.5 B'
    """
    if pattern is None:
        return ""
    if pattern.kind == "fresh":
        return "random numbers, nothing pretrained"
    if pattern.kind == "pattern":
        return "another pattern of each filter" + ", the same in all slices" * pattern.alike
    parts = []
    for at in range(slices):
        terms = ""
        for plane, row in zip("RGB", pattern.weights, strict=True):
            if row[at]:
                sign = "−" if row[at] < 0 else "+" if terms else ""
                size = "" if abs(row[at]) == 1 else f"{abs(row[at]):g} "
                gap = " " if terms else ""
                terms += f"{gap}{sign}{gap}{size}{plane}"
        parts.append((offset_name(at - slices // 2), terms or "nothing"))
    if pattern.alike:
        return f"every slice: {parts[0][1]}"
    return "; ".join(f"{where}: {terms}" for where, terms in parts)
