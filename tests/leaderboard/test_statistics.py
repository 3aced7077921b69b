from collections.abc import Callable
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from emsym.leaderboard.bootstrap import UNIT, bootstrap
from emsym.leaderboard.statistics import (
    against,
    difference_tests,
    effects,
    holm,
    non_inferiority,
    pareto,
    pareto_support,
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
    return difference_tests(bootstrap(cells, draws=20_000))


@pytest.mark.parametrize("seeds", [3, 6, 20])
def test_over_seeds_alone_it_is_scipys_paired_t_test(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    cells = frame(a=random.normal(size=seeds).tolist(), b=random.normal(0.7, 1, seeds).tolist())
    theirs = stats.ttest_rel(cells["a"], cells["b"]).pvalue
    assert p_values(cells).loc["a", "b"] == pytest.approx(theirs, rel=0.03)


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
    assert rank_ranges(bootstrap(cells), "low").to_numpy().tolist() == [[1, 2], [1, 2]]


def test_one_seed_is_no_test() -> None:
    assert p_values(frame(a=[0.0], b=[1.0])).isna().all(axis=None)
    assert rank_ranges(bootstrap(frame(a=[0.0], b=[1.0])), "low")["last"].tolist() == [2, 2]


def test_a_strategy_without_a_value_has_no_place() -> None:
    cells = frame(a=[0.0, 0.1, 0.0], b=[1.0, np.nan, 1.0], c=[5.0, 5.2, 5.1])
    found = rank_ranges(bootstrap(cells, draws=1000), "low")
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


def test_effects_are_those_of_the_paired_t() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 10)
    found = effects(frame(a=values.tolist())).loc["a"]
    t = stats.ttest_rel(values, np.zeros(10)).statistic
    assert found["effect"] == pytest.approx(t / 10**0.5 * (1 - 3 / 35))
    assert found["wins"] == (values > 0).mean()


def test_differences_without_spread_have_no_effect_size() -> None:
    found = effects(frame(a=[0.0, 0.0], b=[1.0, 1.0]))
    assert found["effect"].isna().all()
    assert found["wins"].tolist() == [0.5, 1]


def test_what_was_not_tested_costs_the_others_nothing() -> None:
    found = holm(pd.Series([0.01, np.nan, 0.03]))
    assert found.tolist() == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)


def test_verdicts_of_known_differences() -> None:
    rows = pd.DataFrame(
        {"low": [-0.005, -0.02, -0.03, np.nan], "high": [0.02, 0.005, -0.011, np.nan]},
        ["fine", "wide", "worse", "unknown"],
    )
    found = non_inferiority(rows, 0.01)
    assert found.tolist() == ["non-inferior", "inconclusive", "inferior", "inconclusive"]


def test_places_of_what_is_plain(simulate: Simulate) -> None:
    means = {"bad": 9.0, "good": 0.0, "as-good": 0.0}
    cells, sections = simulate(np.random.default_rng(0), means, pairs=4, seeds=3, seed_sd=0.1)
    drawn = bootstrap(cells, sections, draws=1000)
    found = rank_ranges(drawn, "low")
    assert found.loc["bad"].tolist() == [3, 3]
    assert found.loc["good"].tolist() == found.loc["as-good"].tolist() == [1, 2]
    assert tie_groups(found).to_dict() == {"bad": 2, "good": 1, "as-good": 1}
    assert rank_ranges(drawn, "high").loc["bad"].tolist() == [1, 1]


def test_two_seeds_tell_little_apart() -> None:
    cells = frame(a=[0.0, 0.1], b=[1.0, 1.4], c=[0.5, 0.4])
    found = rank_ranges(bootstrap(cells, draws=1000), "low")
    assert found["first"].tolist() == [1, 1, 1]
    assert found["last"].tolist() == [3, 3, 3]
    assert tie_groups(found).tolist() == [1, 1, 1]


def test_those_tied_through_a_third_are_one_group() -> None:
    found = pd.DataFrame({"first": [1, 1, 2, 4], "last": [2, 3, 3, 4]}, list("abcd"))
    assert tie_groups(found).tolist() == [1, 1, 1, 2]


def test_a_strategy_less_the_baseline(simulate: Simulate) -> None:
    means = {"rgb": 0.0, "up": 2.0, "same": 0.0}
    cells, sections = simulate(np.random.default_rng(0), means, pairs=3, seeds=4, seed_sd=0.3)
    found = against("rgb", cells, bootstrap(cells, sections, draws=2000))
    assert list(found.index) == ["up", "same"]
    assert found.loc["up", "mean"] == pytest.approx((cells["up"] - cells["rgb"]).mean())
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


def test_support_of_the_front_is_what_the_draws_say(simulate: Simulate) -> None:
    random = np.random.default_rng(0)
    options = {"pairs": 2, "seeds": 4, "seed_sd": 0.1, "section_sd": 0.1}
    dice, of_dice = simulate(random, {"best": 3.0, "worse": 0.0, "even": 3.0}, **options)
    bias, of_bias = simulate(random, {"best": 0.0, "worse": 3.0, "even": 0.0}, **options)
    high, low = (
        bootstrap(*each, draws=500).drawn.mean(1) for each in ((dice, of_dice), (bias, of_bias))
    )
    found = pareto_support(high, low, ["best", "worse", "even"])
    assert found["worse"] == 0
    assert 0.2 < found["even"] <= 1
