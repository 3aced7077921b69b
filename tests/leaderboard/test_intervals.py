from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emsym.leaderboard.estimates import UNIT, estimate_means
from emsym.leaderboard.intervals import (
    average_ranks,
    difference_intervals,
    intervals,
    pair_difference_intervals,
    pair_intervals,
    ratio_intervals,
)

Simulate = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]


def frame(values: dict[str, list[float]], dataset: str = "d", architecture: str = "a"):
    count = len(next(iter(values.values())))
    index = pd.MultiIndex.from_product([[dataset], [architecture], range(count)], names=UNIT)
    return pd.DataFrame(values, index)


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_over_seeds_alone_it_is_students_t(seeds: int) -> None:
    values = np.random.default_rng(0).normal(3, 2, seeds)
    row = intervals(estimate_means(frame({"x": values.tolist()}))).loc["x"]
    low, high = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    assert row.tolist() == pytest.approx([values.mean(), low, high])


def test_over_sections_alone_it_is_students_t_over_them() -> None:
    """Of seeds that are all alike, what varies is the sections."""
    sections = np.random.default_rng(0).normal(size=60)
    cells = frame({"x": [sections.mean()] * 5})
    index = pd.MultiIndex.from_product([["d"], ["a"], range(5), range(60)])
    long = pd.DataFrame({"x": np.tile(sections, 5)}, index.set_names([*UNIT, "section"]))
    row = intervals(estimate_means(cells, long)).loc["x"]
    theirs = stats.t.interval(0.95, 59, sections.mean(), stats.sem(sections))
    assert row[["low", "high"]].tolist() == pytest.approx(theirs)


def test_a_strategy_without_a_value_has_none_and_takes_none_from_others(simulate: Simulate) -> None:
    cells, sections = simulate(np.random.default_rng(0), {"a": 0.0, "b": 5.0, "c": 1.0}, sets=2)
    holes = cells.copy()
    holes.iloc[0, 1] = np.nan
    table, whole = (
        intervals(estimate_means(holes, sections)),
        intervals(estimate_means(cells, sections)),
    )
    assert table.loc["b"].isna().all()
    pd.testing.assert_frame_equal(table.drop(index="b"), whole.drop(index="b"))
    pairs = pair_intervals(estimate_means(holes, sections))
    assert pairs["mean"].isna().sum() == 1
    ranks = average_ranks(estimate_means(holes, sections), "low")
    assert (
        ranks.drop("b").tolist()
        == average_ranks(estimate_means(cells[["a", "c"]], sections[["a", "c"]]), "low").tolist()
    )
    assert np.isnan(ranks["b"])


def test_a_single_seed_has_no_interval() -> None:
    row = intervals(estimate_means(frame({"x": [1.0]}))).loc["x"]
    assert row["mean"] == 1
    assert row[["low", "high"]].isna().all()


def test_equal_values_have_an_interval_of_nothing() -> None:
    row = intervals(estimate_means(frame({"x": [0.0, 0, 0]}))).loc["x"]
    assert row.tolist() == [0, 0, 0]


def test_bounds_are_kept() -> None:
    row = intervals(estimate_means(frame({"x": [0.0, 0.9]})), (0, 1)).loc["x"]
    assert row[["low", "high"]].tolist() == [0, 1]


def test_the_sign_of_a_cell_does_not_cancel() -> None:
    row = intervals(estimate_means(frame({"x": [-0.4, 0.4]}), squared=True)).loc["x"]
    assert row.tolist() == pytest.approx([0.4, 0.4, 0.4])


def test_a_size_is_not_made_of_the_noise_of_sections() -> None:
    """200 networks without any bias, each seen through ten noisy sections."""
    values = np.random.default_rng(0).normal(0, 0.02, (200, 10))
    index = pd.MultiIndex.from_product([["d"], ["a"], range(200), range(10)])
    long = pd.DataFrame({"x": values.ravel()}, index.set_names([*UNIT, "section"]))
    cells = long.groupby(level=UNIT).mean()
    assert cells["x"].abs().mean() > 0.004
    row = intervals(estimate_means(cells, long, squared=True), (0, 1)).loc["x"]
    assert row["mean"] < 0.002
    assert row["low"] == 0


def test_rounding_is_nothing(simulate: Simulate) -> None:
    cells = frame({"a": [3e-9, -2e-9, 1e-9], "b": [1e-9, 1e-9, 2e-9], "c": [0.1, 0.2, -0.1]})
    found = estimate_means(cells, squared=True, floor=1e-4)
    assert intervals(found).loc["a"].tolist() == intervals(found).loc["b"].tolist() == [0, 0, 0]
    assert found.point["c"].item() == pytest.approx(0.02)


def test_a_difference_of_sizes_is_that_of_what_is_shown() -> None:
    found = estimate_means(
        frame({"a": [0.5, -0.4, 0.6, 0.5], "b": [0.1, -0.2, 0.1, 0.1]}), squared=True
    )
    means = intervals(found)["mean"]
    row = difference_intervals(found, "a").loc["b"]
    assert row["mean"] == pytest.approx(means["b"] - means["a"])
    assert row["low"] < row["mean"] < row["high"] < 0


def test_two_sizes_that_may_be_nothing_differ_by_something_or_nothing() -> None:
    random = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["d"], ["a"], range(4), range(10)])
    index = index.set_names([*UNIT, "section"])
    long = pd.DataFrame(random.normal(0, 0.02, (40, 2)), index, ["a", "b"])
    found = estimate_means(long.groupby(level=UNIT).mean(), long, squared=True)
    row = difference_intervals(found, "a").loc["b"]
    assert row["low"] < 0 < row["high"]
    assert row["high"] - row["low"] < 0.1


@pytest.mark.parametrize("squared", [False, True])
def test_a_reduction_of_known_size(squared: bool) -> None:
    random = np.random.default_rng(0)
    rgb = random.normal(0.4, 0.01, 8)
    cells = frame({"rgb": rgb.tolist(), "green": (rgb / 4).tolist(), "none": [0.0] * 8})
    found = ratio_intervals(estimate_means(cells, squared=squared), "rgb")
    assert found.loc["green"].tolist() == pytest.approx([75, 75, 75], abs=1e-3)
    assert found.loc["none", "mean"] == 100
    assert found.loc["rgb", "mean"] == 0


def test_there_is_no_part_of_what_may_be_nothing() -> None:
    found = ratio_intervals(estimate_means(frame({"rgb": [0.3, -0.1], "x": [0.1, 0.2]})), "rgb")
    assert found.loc["x", ["low", "high"]].isna().all()


def test_average_ranks() -> None:
    one = frame({"a": [1.0, 1.1], "b": [2.0, 2.1], "c": [2.0, 2.1]})
    other = frame({"a": [3.0, 3.1], "b": [1.0, 1.1], "c": [9.0, 9.1]}, "e")
    assert average_ranks(estimate_means(pd.concat([one, other])), "low").tolist() == [
        1.5,
        1.75,
        2.75,
    ]
    assert average_ranks(estimate_means(one), "high").tolist() == [3, 1.5, 1.5]


def test_a_pair_by_itself_is_as_if_it_were_alone(simulate: Simulate) -> None:
    cells, sections = simulate(
        np.random.default_rng(0), {"a": 0.2, "b": 0.4}, sets=2, architectures=2
    )
    found = estimate_means(cells, sections)
    alone = found.take([("d1", "a0")], ["b", "a"])
    pd.testing.assert_frame_equal(
        pair_intervals(found).loc[("d1", "a0")].loc[["b", "a"]],
        intervals(alone),
        check_names=False,
    )
    pd.testing.assert_frame_equal(
        pair_difference_intervals(found, "b").loc[("d1", "a0")].loc[["b", "a"]],
        difference_intervals(alone, "b"),
        check_names=False,
    )
