"""By simulation with known truth: do intervals and tests do what they say?

Strategies that share nothing are as many experiments of one simulation.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from emsym.leaderboard.bootstrap import Draws, bootstrap, intervals, ratio_intervals
from emsym.leaderboard.statistics import (
    ALPHA,
    against,
    difference_tests,
    holm,
    non_inferiority,
    rank_ranges,
)

Simulate = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
KINDS = {
    "seeds vary": {"seed_sd": 1, "section_sd": 0, "noise_sd": 0.3},
    "all vary": {},
    "sections vary": {"seed_sd": 0.2},
}
SIZES = list(product((1, 6), (2, 3, 5, 10)))
"""Pairs and seeds."""
AT_ONCE, TIMES = 100, 15


def experiments(simulate: Simulate, means: list[float], **options: float) -> list[Draws]:
    random = np.random.default_rng(0)
    found = []
    for turn in range(TIMES):
        names = {f"{i:03d}": mean for i, mean in enumerate(means)}
        cells, sections = simulate(random, names, common_sd=0, **options)
        found.append(bootstrap(cells, sections, draws=500, seed=turn))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_at_their_level(simulate: Simulate, kind: str) -> None:
    """Never below .92, whatever varies, and not nearly always with many seeds."""
    covered = {}
    for pairs, seeds in SIZES:
        rows = pd.concat(
            intervals(each)
            for each in experiments(
                simulate, [0.3] * AT_ONCE, pairs=pairs, seeds=seeds, **KINDS[kind]
            )
        )
        covered[pairs, seeds] = ((rows["low"] <= 0.3) & (rows["high"] >= 0.3)).mean().round(3)
    print(f"\n{kind}: covered, by (pairs, seeds): {covered}")
    assert min(covered.values()) >= 0.92
    assert max(covered[pairs, 10] for pairs in (1, 6)) <= 0.99


def false_positives(simulate: Simulate, kind: str, pairs: int, seeds: int) -> tuple[float, float]:
    """How often a difference is found where there is none: by one test, and by any of four."""
    one, any_of_four = [], []
    options = {"pairs": pairs, "seeds": seeds, **KINDS[kind]}
    for found in experiments(simulate, [0.0] * AT_ONCE, **options):
        p = difference_tests(found).to_numpy()
        for first in range(0, AT_ONCE, 5):
            family = pd.Series(p[first, first + 1 : first + 5])
            one += list(family <= ALPHA)
            any_of_four.append((holm(family) <= ALPHA).any())
    return float(np.mean(one)), float(np.mean(any_of_four))


def test_the_rate_of_false_positives_is_what_it_says(simulate: Simulate) -> None:
    one, any_of_four = false_positives(simulate, "seeds vary", 3, 4)
    assert 0.025 <= one <= ALPHA + 0.02
    assert any_of_four <= ALPHA + 0.03


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_false_positives_are_no_more_than_it_says(simulate: Simulate, kind: str) -> None:
    found = {size: false_positives(simulate, kind, *size) for size in SIZES}
    print(f"\n{kind}: false positives of one and of any of four tests: {found}")
    assert max(one for one, _ in found.values()) <= ALPHA + 0.02
    assert max(any_of_four for _, any_of_four in found.values()) <= ALPHA + 0.03
    assert min(found[pairs, 10][0] for pairs in (1, 6)) >= 0.015


def test_intervals_cover(simulate: Simulate) -> None:
    """A few sizes of the table above."""
    for pairs, seeds in ((1, 5), (6, 2)):
        options = {"pairs": pairs, "seeds": seeds, **KINDS["seeds vary"]}
        rows = pd.concat(map(intervals, experiments(simulate, [0.3] * AT_ONCE, **options)))
        assert 0.92 <= ((rows["low"] <= 0.3) & (rows["high"] >= 0.3)).mean() <= 0.99


@pytest.mark.slow
def test_intervals_of_reductions_cover(simulate: Simulate) -> None:
    """75 % less than the baseline, whose own interval is well above 0."""
    random, covered = np.random.default_rng(0), {}
    sizes = {"seed_sd": 0.05, "section_sd": 0.05, "noise_sd": 0.1, "common_sd": 0.02}
    for pairs, seeds in ((1, 5), (6, 2), (6, 5)):
        held: list[bool] = []
        for turn in range(80):
            means = {"rgb": 0.4, **dict.fromkeys("abcde", 0.1)}
            cells, sections = simulate(random, means, pairs=pairs, seeds=seeds, **sizes)
            drawn = bootstrap(cells, sections, draws=500, seed=turn)
            rows = ratio_intervals(drawn, "rgb").drop(index="rgb")
            held += list((rows["low"] <= 75) & (rows["high"] >= 75))
        covered[pairs, seeds] = round(float(np.mean(held)), 3)
    print(f"\nreductions covered, by (pairs, seeds): {covered}")
    assert min(covered.values()) >= 0.92


@pytest.mark.slow
def test_places_hold_the_true_ranks(simulate: Simulate) -> None:
    """All of them, in 95 % of the experiments."""
    random, means = np.random.default_rng(0), {"a": 0.0, "b": 0.5, "c": 1.0, "d": 1.1}
    held, narrowed, times = 0, 0, 200
    for _ in range(times):
        cells, sections = simulate(random, means, pairs=3, seeds=4, seed_sd=0.7, section_sd=0.2)
        found = rank_ranges(bootstrap(cells, sections, draws=500), "low")
        ranks = np.arange(1, 5)
        held += ((found["first"] <= ranks) & (ranks <= found["last"])).all()
        narrowed += (found["last"] - found["first"]).sum() < 12
    assert held / times >= 0.95 - 0.025
    assert narrowed / times > 0.2


@pytest.mark.slow
def test_an_inferior_strategy_is_seldom_called_non_inferior(simulate: Simulate) -> None:
    """At the margin itself, in 2.5 % of the experiments."""
    random, called, times = np.random.default_rng(0), 0, 300
    for turn in range(times):
        cells, sections = simulate(
            random, {"rgb": 0.0, "x": -0.5}, pairs=3, seeds=4, section_sd=0.2, noise_sd=0.2
        )
        rows = against("rgb", cells, bootstrap(cells, sections, draws=500, seed=turn))
        called += non_inferiority(rows, 0.5)["x"] == "non-inferior"
    assert called / times <= 0.025 + 0.015
