from collections.abc import Callable
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from emsym.leaderboard.estimates import UNIT, estimate_means
from emsym.leaderboard.statistics import (
    above,
    against,
    agreement,
    better_beyond_doubt,
    difference_tests,
    discriminative_power,
    holm,
    non_inferiority,
    pareto,
    rank_ranges,
    tie_groups,
)

Simulate = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
chances = some.lists(some.floats(0, 1), min_size=1, max_size=6)


def frame(**columns: list[float]) -> pd.DataFrame:
    """Strategies' values in one pair, a seed each."""
    count = len(next(iter(columns.values())))
    index = pd.MultiIndex.from_product([["d"], ["a"], range(count)], names=UNIT)
    return pd.DataFrame(columns, index)


def p_values(cells: pd.DataFrame) -> pd.DataFrame:
    return difference_tests(estimate_means(cells))


@pytest.mark.parametrize("seeds", [3, 6, 20])
def test_over_seeds_alone_it_is_scipys_paired_t_test(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    cells = frame(a=random.normal(size=seeds).tolist(), b=random.normal(0.7, 1, seeds).tolist())
    theirs = stats.ttest_rel(cells["a"], cells["b"]).pvalue
    assert p_values(cells).loc["a", "b"] == pytest.approx(theirs)


def test_over_pairs_with_few_seeds_it_is_scipys_one_sample_test() -> None:
    """Of many pairs of equal spread, Satterthwaite's degrees of freedom are nearly all."""
    random = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(40), ["a"], range(4)], names=UNIT)
    cells = pd.DataFrame({"a": 0.0, "b": random.normal(0.15, 1, 160)}, index)
    theirs = stats.ttest_1samp(cells["b"], 0).pvalue
    assert p_values(cells).loc["a", "b"] == pytest.approx(theirs, abs=0.02)


def test_strategies_that_never_differ_are_not_told_apart() -> None:
    cells = frame(a=[0.0, 0.5, 0.1], b=[0.0, 0.5, 0.1])
    assert p_values(cells).loc["a", "b"] == 1
    assert rank_ranges(estimate_means(cells), "low").to_numpy().tolist() == [[1, 2], [1, 2]]


def test_one_seed_is_no_test() -> None:
    assert p_values(frame(a=[0.0], b=[1.0])).isna().all(axis=None)
    assert rank_ranges(estimate_means(frame(a=[0.0], b=[1.0])), "low")["last"].tolist() == [2, 2]


def test_a_strategy_without_a_value_has_no_place() -> None:
    cells = frame(a=[0.0, 0.1, 0.0], b=[1.0, np.nan, 1.0], c=[5.0, 5.2, 5.1])
    found = rank_ranges(estimate_means(cells), "low")
    assert found["last"].isna().tolist() == [False, True, False]
    assert found.loc["c"].tolist() == [2, 2]


@given(chances)
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    """By its definition: a hypothesis falls if every intersection that it is part of does."""
    every = list(chain.from_iterable(combinations(range(len(p)), n) for n in range(1, len(p) + 1)))
    closed = [
        min(1, max(len(part) * min(p[i] for i in part) for part in every if one in part))
        for one in range(len(p))
    ]
    assert holm(pd.Series(p)).tolist() == pytest.approx(closed)


def test_the_part_of_the_cells_above() -> None:
    """Ties count half, and a cell without a value for neither side."""
    table = frame(a=[1.0, -1.0, 0.0, np.nan], b=[np.nan] * 4, c=[1.0, 2.0, 3.0, 4.0])
    found = above(table)
    assert found["a"] == 0.5
    assert np.isnan(found["b"])
    assert found["c"] == 1


def test_what_was_not_tested_costs_the_others_nothing() -> None:
    found = holm(pd.Series([0.01, np.nan, 0.03]))
    assert found.tolist() == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)


def test_verdicts_of_known_differences() -> None:
    """As scipy's one-sided tests say, with Holm's correction."""
    near = [-0.001, 0.001, 0.0, 0.0005, -0.0005]
    cells = frame(
        rgb=[0.0] * 5,
        fine=near,
        wide=[-0.2, 0.2, 0.1, -0.1, 0.0],
        worse=[-0.05 + each for each in near],
        unknown=[np.nan, *near[1:]],
    )
    found = non_inferiority(estimate_means(cells), "rgb", 0.01)
    assert found.to_dict() == {
        "fine": "non-inferior",
        "wide": "inconclusive",
        "worse": "inferior",
        "unknown": "inconclusive",
    }
    assert (
        non_inferiority(estimate_means(frame(rgb=[0.0], x=[0.1])), "rgb", 0.01) == "inconclusive"
    ).all()


def test_verdicts_are_of_all_strategies_together() -> None:
    """One at p = .02 is non-inferior by itself, and not as one of two."""
    random = np.random.default_rng(0)
    values = random.normal(0, 0.01, 6)
    values += stats.t.isf(0.02, 5) * stats.sem(values) - 0.01 - values.mean()
    bad = (-0.2 + random.normal(0, 0.01, 6)).tolist()
    alone, together = (
        frame(rgb=[0.0] * 6, x=values.tolist()),
        frame(rgb=[0.0] * 6, x=values.tolist(), bad=bad),
    )
    assert stats.ttest_1samp(values, -0.01, alternative="greater").pvalue == pytest.approx(0.02)
    assert non_inferiority(estimate_means(alone), "rgb", 0.01)["x"] == "non-inferior"
    assert non_inferiority(estimate_means(together), "rgb", 0.01)["x"] == "inconclusive"


def test_places_of_what_is_plain(simulate: Simulate) -> None:
    means = {"bad": 9.0, "good": 0.0, "as-good": 0.0}
    cells, sections = simulate(np.random.default_rng(0), means, sets=4, seeds=3, seed_sd=0.1)
    drawn = estimate_means(cells, sections)
    found = rank_ranges(drawn, "low")
    assert found.loc["bad"].tolist() == [3, 3]
    assert found.loc["good"].tolist() == found.loc["as-good"].tolist() == [1, 2]
    assert tie_groups(found).to_dict() == {"bad": 2, "good": 1, "as-good": 1}
    assert rank_ranges(drawn, "high").loc["bad"].tolist() == [1, 1]


def test_two_seeds_tell_little_apart() -> None:
    cells = frame(a=[0.0, 0.1], b=[1.0, 1.4], c=[0.5, 0.4])
    found = rank_ranges(estimate_means(cells), "low")
    assert found["first"].tolist() == [1, 1, 1]
    assert found["last"].tolist() == [3, 3, 3]
    assert tie_groups(found).tolist() == [1, 1, 1]


def test_those_tied_through_a_third_are_one_group() -> None:
    found = pd.DataFrame({"first": [1, 1, 2, 4], "last": [2, 3, 3, 4]}, list("abcd"))
    assert tie_groups(found).tolist() == [1, 1, 1, 2]


def test_a_strategy_less_the_baseline(simulate: Simulate) -> None:
    means = {"rgb": 0.0, "up": 2.0, "same": 0.0}
    cells, sections = simulate(np.random.default_rng(0), means, sets=3, seeds=4, seed_sd=0.3)
    found = against("rgb", cells, estimate_means(cells, sections))
    assert list(found.index) == ["up", "same"]
    assert found.loc["up", "mean"] == pytest.approx((cells["up"] - cells["rgb"]).mean())
    assert found.loc["up", "above"] == (cells["up"] > cells["rgb"]).mean()
    assert found.loc["up", "low"] > 0
    assert found.loc["up", "p_holm"] < 0.01
    assert found.loc["same", "low"] < 0 < found.loc["same", "high"]
    assert (found["p_holm"] >= found["p"]).all()


@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 5)), min_size=1, max_size=8))
def test_what_is_off_the_front_is_beaten_by_something_on_it(
    points: list[tuple[int, int]],
) -> None:
    dice, asymmetry = (pd.Series(each, dtype=float) for each in zip(*points, strict=True))
    front = pareto(dice, asymmetry)
    assert front.any()
    for one in points:
        beaten = any(d >= one[0] and a <= one[1] and (d, a) != one for d, a in points)
        assert front[points.index(one)] == (not beaten)


def test_a_strategy_with_a_missing_value_is_on_no_front() -> None:
    assert pareto(pd.Series([0.9, 0.8]), pd.Series([np.nan, 0.1])).tolist() == [False, True]


def test_what_is_better_beyond_doubt(simulate: Simulate) -> None:
    means = {"bad": 9.0, "good": 0.0, "as-good": 0.0}
    cells, sections = simulate(np.random.default_rng(0), means, sets=4, seeds=3, seed_sd=0.1)
    ahead = better_beyond_doubt(estimate_means(cells, sections), "low")
    assert ahead.loc["good"].to_dict() == {"bad": True, "good": False, "as-good": False}
    assert not ahead.loc["bad"].any()
    assert better_beyond_doubt(estimate_means(cells, sections), "high").loc["bad", "good"]


def test_what_is_rounding_is_not_ranked() -> None:
    cells = frame(a=[3e-9, 3.1e-9, 2.9e-9], b=[1e-9, 1.1e-9, 0.9e-9])
    found = rank_ranges(estimate_means(cells, squared=True, floor=1e-4), "low")
    assert found.to_numpy().tolist() == [[1, 2], [1, 2]]


def test_a_data_set_tells_apart_what_differs_more_than_seeds() -> None:
    """By hand: means 0 and 2, of seeds that are 1 apart on either side."""
    index = pd.MultiIndex.from_product([["far", "near"], ["a"], [0, 1]], names=UNIT)
    cells = pd.DataFrame({"x": [-1.0, 1.0, -1.0, 1.0], "y": [1.0, 3.0, -0.9, 1.1]}, index)
    power = discriminative_power(cells)
    assert power["far"] == pytest.approx(1)
    assert power["near"] == pytest.approx(0.05)
    assert discriminative_power(cells * 0).isna().all()


def test_methods_agree_as_scipy_says() -> None:
    random = np.random.default_rng(0)
    exact = random.normal(size=40)
    values = pd.DataFrame({"exact": exact, "alike": exact + random.normal(size=40), "none": np.nan})
    found = agreement(values, "exact")
    theirs = stats.spearmanr(values["exact"], values["alike"]).statistic
    assert found.loc["alike", "rank"] == pytest.approx(theirs)
    assert found.loc["alike", "sign"] == (values["alike"] * exact > 0).mean()
    assert found.loc["none", "rows"] == 0
