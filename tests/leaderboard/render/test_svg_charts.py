"""Where the marks, lines and names of a chart lie."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as some

from emsym.leaderboard.render.svg_charts import (
    BOTTOM,
    HEIGHT,
    LINES,
    TOP,
    Axis,
    axes,
    curves,
    labels,
    nice,
)


def test_an_axis_goes_from_its_start_to_its_end() -> None:
    axis = Axis(0, 0.5, 56, 624)
    assert (axis(0), axis(0.25), axis(0.5)) == (56, 340, 624)
    assert axis.ticks == [(axis(i / 10), f"0.{i}") for i in range(6)]


@given(some.floats(1e-6, 1e6))
def test_a_span_has_a_few_round_steps(span: float) -> None:
    step = nice(span)
    assert 1.9 <= span / step <= 5.01
    assert f"{step:.0e}"[0] in "125"


def test_axes_hold_all_that_is_finite() -> None:
    x, y = axes([0.1, 0.4, math.nan], [0.8, 0.9, math.inf], from_zero=False)
    assert x.low == 0
    assert x.high > 0.4
    assert y.low < 0.8 < 0.9 < y.high < 1
    assert y(0.9) < y(0.8), "up is less"
    assert axes([], [], from_zero=True)[1].low == 0


def test_curves_are_of_the_strategies_that_have_every_step() -> None:
    table = pd.DataFrame({"a": [0.4, 0.2], "b": [0.1, np.nan], "c": [0.3, 0.2]}, [0, 100])
    drawn = curves(table, ["c", "a", "b"])
    assert drawn is not None
    lines, x, y = drawn
    assert [line.name for line in lines] == ["c", "a"]
    assert lines[1].path == f"M{x(0)} {y(0.4)}L{x(100)} {y(0.2)}"
    assert abs(lines[0].label[1] - lines[1].label[1]) >= 15, "equal ends, names apart"
    assert lines[0].text == "0.300 at step 0, 0.200 at step 100"
    assert curves(table[:1], ["a"]) is None
    assert curves(table, ["b"]) is None


def test_no_more_curves_than_can_be_told_apart() -> None:
    table = pd.DataFrame({f"{i}": [0.1, 0.2] for i in range(LINES + 5)})
    drawn = curves(table, list(table))
    assert drawn is not None
    assert len(drawn[0]) == LINES


def test_names_of_near_marks_cover_neither_marks_nor_names() -> None:
    marks = {"one": (100.0, 50.0), "two": (103.0, 52.0), "three": (108.0, 51.0)}
    heights = labels(marks)
    ordered = sorted(height for height in heights.values() if height is not None)
    assert len(ordered) == 3
    assert all(b - a >= 13 for a, b in pairwise(ordered))
    assert all(abs(y - height + 4) >= 12 for height in ordered for _, y in marks.values())


def test_names_that_find_no_room_in_the_plot_are_left_out() -> None:
    heights = labels({f"{i}": (100.0, 180.0 + i / 10) for i in range(60)})
    placed = [height for height in heights.values() if height is not None]
    assert 10 < len(placed) < 60
    assert all(TOP < height < HEIGHT - BOTTOM for height in placed)
