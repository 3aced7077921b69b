"""Intervals: they hold the truth as often as they say, and miss nothing silently."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from emsym.auditing.intervals import blocks_of, mean_interval, part_intervals
from emsym.auditing.result import Interval

FLOATS = st.floats(-100, 100, allow_subnormal=False)
ANY = (-np.inf, np.inf)


def apart(count: int) -> np.ndarray:
    """Sections of which no two share slices."""
    return np.arange(count)


def false_alarms(draw: Callable[[], np.ndarray], blocks: np.ndarray) -> float:
    """How often an interval leaves 0 out, of 1000 means that are 0."""
    found = [mean_interval(draw(), blocks, ANY) for _ in range(1000)]
    return np.mean([each.low > 0 or each.high < 0 for each in found])


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_an_interval_misses_the_mean_as_often_as_it_says(count: int) -> None:
    random = np.random.default_rng(count)
    assert 0.03 < false_alarms(lambda: random.normal(0, 0.1, count), apart(count)) < 0.07


@pytest.mark.parametrize("count", [8, 20])
def test_sections_that_share_slices_are_not_counted_as_if_they_were_apart(count: int) -> None:
    """Each has the mean of three slices, of which it shares two with either neighbour."""
    random = np.random.default_rng(count)

    def draw() -> np.ndarray:
        return np.convolve(random.normal(size=count + 2), np.full(3, 1 / 3), "valid")

    assert false_alarms(draw, apart(count)) > 0.25
    assert false_alarms(draw, blocks_of(np.arange(count), 3)) < 0.13


def test_a_plain_bias_is_seen_in_the_eight_sections_of_a_small_test_split() -> None:
    random = np.random.default_rng(0)
    asymmetry = np.convolve(random.normal(-0.3, 0.08, 10), np.full(3, 1 / 3), "valid")
    found = mean_interval(asymmetry, blocks_of(np.arange(21, 29), 3), (-1, 1))
    assert -1 < found.low < found.high < -0.1


def test_without_overlap_it_is_the_t_interval_of_scipy() -> None:
    values = np.random.default_rng(1).normal(3, 2, 7)
    low, high = student.interval(0.95, 6, values.mean(), values.std(ddof=1) / 7**0.5)
    found = mean_interval(values, blocks_of(np.arange(7) * 5 + 2, 5), ANY)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_with_blocks_of_one_size_it_is_the_t_interval_of_their_means() -> None:
    values = np.random.default_rng(1).normal(3, 2, 12)
    means = values.reshape(4, 3).mean(1)
    found = mean_interval(values, blocks_of(np.arange(12), 3), ANY)
    expected = mean_interval(means, apart(4), ANY)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, unique=True), st.sampled_from([1, 3, 5, 7]))
def test_sections_of_one_block_share_slices(numbers: list[int], slices: int) -> None:
    sections = np.sort(numbers)
    blocks = blocks_of(sections, slices)
    for block in np.unique(blocks):
        assert np.ptp(sections[blocks == block]) < slices


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_an_interval_holds_its_mean_and_keeps_to_what_can_be(values: list[float]) -> None:
    found = mean_interval(np.array(values), apart(len(values)), (0, 1))
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_missing_values_are_left_out_and_none_left_is_none() -> None:
    assert mean_interval(np.array([1.0, np.nan, 3.0]), apart(3), ANY).value == 2
    assert mean_interval(np.array([np.nan, np.nan]), apart(2), ANY) is None
    assert mean_interval(np.array([]), apart(0), ANY) is None
    assert mean_interval(np.array([5.0]), apart(1), ANY) == Interval(value=5)
    assert mean_interval(np.full(9, 0.1), apart(9), ANY) == Interval(value=0.1, low=0.1, high=0.1)
    # two sections that share slices are one draw
    assert mean_interval(np.array([1.0, 3.0]), np.zeros(2, int), ANY) == Interval(value=2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=9))
def test_parts_add_up_to_one_with_the_sign_of_the_whole(rows: list[tuple]) -> None:
    values = np.array(rows)
    found = part_intervals(values, apart(len(values)))
    whole = values.sum(1)
    if found is not None:
        total = sum(part.value for part in found)
        assert total == pytest.approx(whole.sum() / np.abs(whole).sum())
        assert abs(total) <= 1 + 1e-9
        assert all(each.low is None or each.low <= each.value <= each.high for each in found)


def test_a_part_below_zero_lowers_the_whole() -> None:
    values = np.array([[-3.0, 1.0, -2.0], [-3.1, 1.1, -2.1], [-2.9, 1.0, -1.9]])
    found = part_intervals(values, apart(3))
    assert sum(part.value for part in found) == pytest.approx(-1)
    assert [part.value > 0 for part in found] == [False, True, False]
    assert all(part.low < part.value < part.high for part in found)
    turned = part_intervals(-values, apart(3))
    assert [-part.value for part in turned] == pytest.approx([part.value for part in found])


def test_an_interval_of_parts_misses_about_as_often_as_it_says() -> None:
    random, missed = np.random.default_rng(0), 0
    for _ in range(500):
        rows = random.normal([1, 2, 1], 0.3, (20, 3))
        first = part_intervals(rows, apart(20))[0]
        missed += not first.low <= 0.25 <= first.high
    assert 0.02 < missed / 500 < 0.09


def test_parts_of_nothing_are_missing() -> None:
    assert part_intervals(np.zeros((4, 3)), apart(4)) is None
    assert part_intervals(np.full((4, 3), np.nan), apart(4)) is None
    # a whole that is now above 0 and now below has no parts to speak of
    assert part_intervals(np.array([[5.0, -4.0], [4.0, -6.0], [3.0, -2.0]]), apart(3)) is None
    known = part_intervals(np.array([[1.0, 3.0], [np.nan, 1.0], [1.0, 3.0]]), apart(3))
    assert [part.value for part in known] == [0.25, 0.75]
