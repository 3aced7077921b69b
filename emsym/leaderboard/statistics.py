"""Statistics of a comparison of strategies: tests, ties, verdicts. They know only DataFrames.

Of `cells`, the index is `UNIT` (data set, architecture, seed) and every column a strategy: the
cells that all of them share. A strategy that lacks a value in any of them has none.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from emsym.leaderboard.bootstrap import Draws, intervals

ALPHA = 0.05
Better = Literal["high", "low"]


def difference_tests(draws: Draws) -> pd.DataFrame:
    """Two-sided p of every two strategies' means being the same: K rows, K columns.

    Student's t of the paired difference and the standard error that the bootstrap gives it, with
    Satterthwaite's degrees of freedom over the pairs: the test that belongs to `intervals`, and the
    paired t-test where sections do not vary. NaN where there is a single seed, or no value.
    """
    point, spread = draws.point.mean().to_numpy(), draws.variances
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.abs(point[:, None] - point) / (np.sqrt(spread.sum(0)) / len(draws.seeds))
        p = 2 * stats.t.sf(t, draws.difference_freedom)
    p[point[:, None] == point] = 1
    names = draws.point.columns
    return pd.DataFrame(np.nan if draws.seeds.min() < 2 else p, names, names)


def holm(p: pd.Series) -> pd.Series:
    """Holm's step-down correction (1979): the chance that any of these is a false positive.

    NaN is no test, and counts for none.

    >>> holm(pd.Series([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    known = p.dropna().sort_values(kind="stable")
    stepped = (known * np.arange(len(known), 0, -1)).cummax().clip(upper=1)
    return stepped.reindex(p.index)


def effects(differences: pd.DataFrame) -> pd.DataFrame:
    """How large paired differences are: `effect` and `wins`.

    `effect` is Hedges' g of paired data, the mean over the standard deviation times
    1 − 3/(4n − 5); NaN where that is 0, and of two cells, where the factor is. `wins` is the part
    of the cells where the difference is above 0, ties counting half.
    """
    count = len(differences)
    sd = differences.std()
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = differences.mean() / sd.where(sd > 0) * (1 - 3 / (4 * count - 5))
    wins = (differences > 0).mean() + (differences == 0).mean() / 2
    return pd.DataFrame({"effect": effect if count > 2 else np.nan, "wins": wins})


def against(baseline: str, cells: pd.DataFrame, draws: Draws, most: float = np.inf) -> pd.DataFrame:
    """Every other strategy less the baseline: a row each.

    Columns: `mean`, `low`, `high` of the difference, `p`, `p_holm` (over these rows), `effect`,
    `wins`. `draws` are the bootstrap's draws of the same cells, and `most` is the largest
    difference there can be.
    """
    differences = cells.sub(cells[baseline], axis=0).drop(columns=baseline)
    rows = intervals(draws.less(baseline), (-most, most)).drop(index=baseline)[
        ["mean", "low", "high"]
    ]
    p = difference_tests(draws)[baseline].drop(index=baseline)
    return rows.assign(p=p, p_holm=holm(p)).join(effects(differences))


def non_inferiority(comparison: pd.DataFrame, margin: float) -> pd.Series:
    """Whether each row of `against`, of a score of which more is better, keeps to the margin.

    "non-inferior": the whole interval lies above −margin, at a one-sided 2.5 %; "inferior": all of
    it lies below; "inconclusive": neither, or there is no interval.
    """
    verdict = pd.Series("inconclusive", comparison.index)
    verdict[comparison["low"] > -margin] = "non-inferior"
    verdict[comparison["high"] < -margin] = "inferior"
    return verdict


def rank_ranges(draws: Draws, better: Better) -> pd.DataFrame:
    """The ranks that each strategy may have: `first` … `last`, 1 the best.

    `first` is one more than the strategies that are better beyond doubt, and `last` leaves room for
    those that are worse beyond doubt: a confidence set, at 95 % for all strategies together
    (Mogstad et al. 2024, Review of Economic Studies 91, 476–518), by `difference_tests` of all
    pairs and `holm`. Strategies that nothing tells apart share their places. One without a value
    has none, NaN.
    """
    point = draws.point.mean()
    known = list(point.dropna().index)
    frame = pd.DataFrame({"first": 1.0, "last": float(len(known))}, known)
    if len(known) > 1:
        couples = list(combinations(known, 2))
        tests = difference_tests(draws)
        p = holm(pd.Series([tests.loc[couple] for couple in couples], range(len(couples))))
        for row in np.flatnonzero(p <= ALPHA):
            worse, best = sorted(couples[row], key=lambda name: point[name])
            if better == "low":
                worse, best = best, worse
            frame.loc[worse, "first"] += 1
            frame.loc[best, "last"] -= 1
    return frame.reindex(point.index)


def tie_groups(ranges: pd.DataFrame) -> pd.Series:
    """The groups of strategies that `rank_ranges` do not tell apart: 1, 2, …, from the best.

    A group ends where every strategy before is better beyond doubt than every one after, so two in
    one group need not be tied with each other, but are through others.
    """
    order = ranges.sort_values(["first", "last"], kind="stable")
    # all before have no place left from here on, so that this row opens a group
    reach = order["last"].cummax().shift(fill_value=0)
    return (order["first"] > reach).cumsum().reindex(ranges.index)


def pareto(dice: pd.Series, asymmetry: pd.Series) -> pd.Series:
    """Which strategies none other beats: as much Dice at less asymmetry, or more at as much. Bool.

    >>> pareto(pd.Series([0.9, 0.8, 0.7]), pd.Series([0.3, 0.1, 0.2])).tolist()
    [True, True, False]
    """
    high, low = dice.to_numpy(float), asymmetry.to_numpy(float)
    as_good = (high[:, None] >= high) & (low[:, None] <= low)
    beaten = (as_good & ~as_good.T).any(0)
    return pd.Series(~beaten & np.isfinite(high) & np.isfinite(low), dice.index)


def pareto_support(dice: np.ndarray, asymmetry: np.ndarray, names: Sequence[str]) -> pd.Series:
    """In which part of (B, K) bootstrap draws each strategy is on the front, 0 … 1."""
    on = np.ones(dice.shape, bool)
    for one in range(dice.shape[1]):
        as_good = (dice >= dice[:, [one]]) & (asymmetry <= asymmetry[:, [one]])
        better = (dice > dice[:, [one]]) | (asymmetry < asymmetry[:, [one]])
        on[:, one] = ~(as_good & better).any(1)
    return pd.Series(on.mean(0), names)
