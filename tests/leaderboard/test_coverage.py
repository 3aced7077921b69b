"""By simulation with known truth: do intervals and tests do what they say?

Strategies that share nothing are as many experiments of one simulation.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from emsym.leaderboard.estimates import UNIT, Estimates, estimate_means
from emsym.leaderboard.intervals import intervals, ratio_intervals
from emsym.leaderboard.render.sentences import SURE
from emsym.leaderboard.statistics import (
    ALPHA,
    difference_tests,
    holm,
    non_inferiority,
    rank_ranges,
)

Simulate = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
VARYING = {
    "seeds": {"section_sd": 0, "noise_sd": 0.3},
    "sections": {"seed_sd": 0.2},
    "both": {},
}
DESIGNS = {
    "1 x 6 x 5": {"sets": 1, "architectures": 6, "seeds": 5},
    "3 x 2 x 2": {"sets": 3, "architectures": 2, "seeds": 2},
    "3 x 2 x 5": {"sets": 3, "architectures": 2, "seeds": 5},
    "3 x 10 x 5": {"sets": 3, "architectures": 10, "seeds": 5},
    "uneven": {"sets": 3, "architectures": 2, "seeds": [2, 5, 10, 3, 2, 2]},
    "1 x 1 x 5": {"sets": 1, "architectures": 1, "seeds": 5},
}
"""Data sets × architectures × seeds."""
SHARED = (0, 0.5, 1)
"""How much the effects of sections correlate between architectures."""
AT_ONCE, EXPERIMENTS = 200, 2_000


def covered(estimates: Estimates, truth: float) -> np.ndarray:
    rows = intervals(estimates)
    return ((rows["low"] <= truth) & (truth <= rows["high"])).to_numpy()


def rates(simulate: Simulate, experiments: int, **options: object) -> tuple[float, float, float]:
    """How often intervals hold the truth, one test is wrong, and any of four after Holm is."""
    random, held, wrong, any_wrong = np.random.default_rng(0), [], [], []
    means = {f"{number:03d}": 0.3 for number in range(AT_ONCE)}
    for _ in range(experiments // AT_ONCE):
        estimates = estimate_means(*simulate(random, means, common_sd=0, **options))
        held += list(covered(estimates, 0.3))
        p = difference_tests(estimates).to_numpy()
        # of strategies that are in no other couple
        wrong += [p[first, first + 1] <= ALPHA for first in range(0, AT_ONCE, 2)]
        for first in range(0, AT_ONCE, 5):
            family = pd.Series(p[first, first + 1 : first + 5])
            any_wrong.append((holm(family) <= ALPHA).any())
    return float(np.mean(held)), float(np.mean(wrong)), float(np.mean(any_wrong))


@pytest.mark.slow
@pytest.mark.parametrize("varying", VARYING)
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_cover_and_tests_are_wrong_as_often_as_they_say(
    simulate: Simulate, design: str, varying: str
) -> None:
    for shared in SHARED:
        options = {**DESIGNS[design], **VARYING[varying], "shared": shared}
        held, wrong, any_wrong = rates(simulate, EXPERIMENTS, **options)
        print(
            f"\n{design}, {varying} vary, sections correlate {shared}: covered {held:.3f}, "
            f"false positives {wrong:.3f}, any of four {any_wrong:.3f}"
        )
        # 2,000 experiments tell a rate of .95 to ±.010, and 1,000 one of .05 to ±.014
        assert 0.93 <= held <= 0.97
        assert wrong <= 0.06 + 0.014
        assert any_wrong <= 0.06 + 0.02


def test_intervals_cover(simulate: Simulate) -> None:
    """One of the table above, in which sections vary most and all architectures share them."""
    options = {**DESIGNS["3 x 2 x 5"], **VARYING["sections"], "shared": 1}
    held, wrong, _ = rates(simulate, 1_000, **options)
    assert 0.92 <= held <= 0.98
    assert wrong <= 0.08


def sizes(random: np.random.Generator, bias: float, spread: float, noise: float) -> Estimates:
    """100 strategies on 3 data sets × 2 architectures × 5 seeds × 12 sections.

    The asymmetry of a network is normal, about `bias` by `spread`; what it is measured to be over
    its sections is off by `noise`, half of which (its variance) architectures share.
    """
    shape, sd = (3, 2, 5, 12, 100), noise * np.sqrt(12 / 2)
    values = bias + spread * random.normal(size=(3, 2, 5, 1, 100)) + sd * random.normal(size=shape)
    values += sd * random.normal(size=(3, 1, 1, 12, 100))
    index = pd.MultiIndex.from_product(map(range, shape[:-1]), names=[*UNIT, "section"])
    long = pd.DataFrame(values.reshape(-1, 100), index)
    return estimate_means(long.groupby(level=UNIT).mean(), long, squared=True)


kinds_of_network = pytest.mark.parametrize(
    ("bias", "spread", "noise"),
    [(0, 0, 0.007), (0, 0.005, 0.007), (0.01, 0.005, 0.004), (0, 0.03, 0.007), (0.15, 0.05, 0.01)],
    ids=["symmetric", "nearly symmetric", "green", "random", "rgb"],
)


@pytest.mark.slow
@kinds_of_network
def test_sizes_are_measured_right_however_small(bias: float, spread: float, noise: float) -> None:
    random, truth = np.random.default_rng(0), float(np.hypot(bias, spread))
    many = [sizes(random, bias, spread, noise) for _ in range(20)]
    squares = np.concatenate([each.mean for each in many])
    held = np.mean([covered(each, truth) for each in many])
    shown = np.concatenate([intervals(each)["mean"] for each in many]).mean()
    print(f"\nsize {truth:.4f}: shown {shown:.4f}, covered {held:.3f}")
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - truth**2) < 4 * error
    assert held >= 0.93
    tests = [difference_tests(each).to_numpy() for each in many]
    wrong = np.mean([p[at, at + 1] <= ALPHA for p in tests for at in range(0, 100, 2)])
    print(f"false positives of differences: {wrong:.3f}")
    assert wrong <= 0.06 + 0.014


@pytest.mark.slow
def test_intervals_of_reductions_cover(simulate: Simulate) -> None:
    """75 % less than the baseline, whose own interval is well above 0."""
    random = np.random.default_rng(0)
    sd = {"seed_sd": 0.05, "section_sd": 0.05, "noise_sd": 0.1, "common_sd": 0.02}
    for design in ("3 x 2 x 2", "3 x 2 x 5", "1 x 1 x 5"):
        held: list[bool] = []
        for _ in range(80):
            means = {"rgb": 0.4, **dict.fromkeys("abcde", 0.1)}
            estimates = estimate_means(*simulate(random, means, **DESIGNS[design], **sd))
            rows = ratio_intervals(estimates, "rgb").drop(index="rgb")
            held += list((rows["low"] <= 75) & (rows["high"] >= 75))
        print(f"\nreductions, {design}: covered {np.mean(held):.3f}")
        assert np.mean(held) >= 0.92


@pytest.mark.slow
def test_places_hold_the_true_ranks(simulate: Simulate) -> None:
    """All of them, in 95 % of the experiments."""
    random, means = np.random.default_rng(0), {"a": 0.0, "b": 0.5, "c": 1.0, "d": 1.1}
    held, narrowed, times = 0, 0, 400
    for _ in range(times):
        cells, sections = simulate(random, means, sets=3, seeds=4, seed_sd=0.7, section_sd=0.2)
        found = rank_ranges(estimate_means(cells, sections), "low")
        ranks = np.arange(1, 5)
        held += ((found["first"] <= ranks) & (ranks <= found["last"])).all()
        narrowed += (found["last"] - found["first"]).sum() < 12
    assert held / times >= 0.95 - 0.025
    assert narrowed / times > 0.2


@pytest.mark.slow
def test_inferior_strategies_are_seldom_called_non_inferior(simulate: Simulate) -> None:
    """Any of four at the margin itself, in 2.5 % of the experiments."""
    random, called, times = np.random.default_rng(0), 0, 1_000
    means = {"rgb": 0.0, **dict.fromkeys("wxyz", -0.5)}
    for _ in range(times):
        cells, sections = simulate(
            random, means, sets=3, seeds=5, section_sd=0.2, noise_sd=0.2, common_sd=0
        )
        verdicts = non_inferiority(estimate_means(cells, sections), "rgb", 0.5)
        called += (verdicts == "non-inferior").any()
    print(f"\nany of four at the margin called non-inferior: {called / times:.3f}")
    assert called / times <= 0.025 + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_what_the_first_sentence_names_is_found_again(simulate: Simulate, seeds: int) -> None:
    """In four of five other runs, whatever differences between strategies there are."""
    random, again = np.random.default_rng(0), []
    options = {"sets": 3, "architectures": 2, "seeds": seeds, "section_sd": 0.5}
    for _ in range(300):
        less = dict(zip("wxyz", -random.uniform(0, 2, 4), strict=True))
        first, second = (
            difference_tests(estimate_means(*simulate(random, {"rgb": 0.0, **less}, **options)))
            for _ in range(2)
        )
        named = holm(first["rgb"].drop("rgb")) <= SURE
        again += list(holm(second["rgb"].drop("rgb"))[named] <= ALPHA)
    print(f"\n{seeds} seeds: {len(again)} named, found again {np.mean(again):.3f}")
    assert len(again) > 100
    assert np.mean(again) >= 0.8
