"""Intervals: they hold the truth as often as they say, and miss nothing silently."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emsym.auditing.intervals import mean_interval, part_intervals
from emsym.auditing.result import Interval

FLOATS = st.floats(-100, 100, allow_subnormal=False)


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        found = mean_interval(random.normal(3, 1, 20))
        hits += found.low <= 3 <= found.high
    assert 0.88 <= hits / 200 <= 0.99  # 20 values: a little less than 95 %


@settings(max_examples=50, deadline=None)
@given(st.lists(FLOATS, min_size=2, max_size=20))
def test_an_interval_lies_within_the_values(values: list[float]) -> None:
    found = mean_interval(np.array(values))
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    if found.low is not None:
        slack = 1e-9 * max(map(abs, values))
        assert min(values) - slack <= found.low <= found.high <= max(values) + slack


def test_missing_values_are_left_out_and_none_left_is_none() -> None:
    assert mean_interval(np.array([1.0, np.nan, 3.0])).value == 2
    assert mean_interval(np.array([np.nan, np.nan])) is None
    assert mean_interval(np.array([])) is None
    assert mean_interval(np.array([5.0])) == Interval(value=5)
    assert mean_interval(np.full(9, 5.0)) == Interval(value=5, low=5, high=5)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(size=15)
    assert mean_interval(values) == mean_interval(values)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=9))
def test_parts_add_up_to_one(rows: list[tuple]) -> None:
    values = np.array(rows)
    found = part_intervals(values)
    if abs(values.sum()) > 1:
        assert sum(part.value for part in found) == pytest.approx(1)


def test_parts_of_nothing_are_missing() -> None:
    assert part_intervals(np.zeros((4, 3))) is None
    assert part_intervals(np.full((4, 3), np.nan)) is None
    known = part_intervals(np.array([[1.0, 3.0], [np.nan, 1.0], [1.0, 3.0]]))
    assert [part.value for part in known] == [0.25, 0.75]
