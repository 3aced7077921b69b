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

from emsym.leaderboard.estimates import PAIR, Estimates
from emsym.leaderboard.intervals import difference_intervals

ALPHA = 0.05
Better = Literal["high", "low"]


def difference_tests(estimates: Estimates) -> pd.DataFrame:
    """Two-sided p of every two strategies' means being the same: K rows, K columns.

    Student's t of the paired difference: the test that belongs to `difference_intervals`, and the
    paired t-test where there is one pair and sections do not vary. NaN where there is a single
    seed, or no value.
    """
    shown = estimates.shown
    error, freedom = estimates.difference_error()
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stats.t.sf(np.abs(shown[:, None] - shown) / error, freedom)
    p[shown[:, None] == shown] = 1
    names = estimates.point.columns
    return pd.DataFrame(np.nan if estimates.alone else p, names, names)


def holm(p: pd.Series) -> pd.Series:
    """Holm's step-down correction (1979): the chance that any of these is a false positive.

    NaN is no test, and counts for none.

    >>> holm(pd.Series([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    known = p.dropna().sort_values(kind="stable")
    stepped = (known * np.arange(len(known), 0, -1)).cummax().clip(upper=1)
    return stepped.reindex(p.index)


def above(differences: pd.DataFrame) -> pd.Series:
    """Return the part of the cells in which a difference is above 0, ties counting half.

    A cell without a value counts for neither side; NaN where none has one.
    """
    known = differences.notna().sum()
    wins = (differences > 0).sum() + (differences == 0).sum() / 2
    return wins / known.where(known > 0)


def against(
    baseline: str, cells: pd.DataFrame, estimates: Estimates, most: float = np.inf
) -> pd.DataFrame:
    """Every other strategy less the baseline: a row each.

    Columns: `mean`, `low`, `high` of the difference, `p`, `p_holm` (over these rows), `above`.
    `estimates` are of the same cells, and `most` is the largest difference there can be.
    """
    apart = cells.sub(cells[baseline], axis=0).drop(columns=baseline)
    rows = difference_intervals(estimates, baseline, most).drop(index=baseline)
    p = difference_tests(estimates)[baseline].drop(index=baseline)
    return rows.assign(p=p, p_holm=holm(p), above=above(apart).where(rows["mean"].notna()))


def non_inferiority(
    estimates: Estimates, baseline: str, margin: float, level: float = ALPHA
) -> pd.Series:
    """Say whether each other strategy keeps to the margin, of a score of which more is better.

    "non-inferior": less by the margin or more is ruled out; "inferior": less by no more than the
    margin is; "inconclusive": neither, or there is no test. Tests are one-sided at half the level,
    for all rows together by `holm`.
    """
    column = list(estimates.point.columns).index(baseline)
    error, freedom = (each[:, column] for each in estimates.difference_error())
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (estimates.shown - estimates.shown[column] + margin) / error
    t = pd.Series(np.nan if estimates.alone else t, estimates.point.columns)
    freedom = pd.Series(freedom, t.index).drop(index=baseline)
    t = t.drop(index=baseline)
    verdict = pd.Series("inconclusive", t.index)
    for name, side in (("non-inferior", t), ("inferior", -t)):
        p = pd.Series(stats.t.sf(side, freedom), t.index)
        verdict[holm(p) <= level / 2] = name
    return verdict


def better_beyond_doubt(estimates: Estimates, better: Better) -> pd.DataFrame:
    """Whether the strategy of a row is better than that of a column, bool (K, K).

    By `difference_tests` of all pairs of strategies and `holm`, so that the chance that any of it
    is wrong is 5 %. False where one has no value.
    """
    names, mean = estimates.point.columns, estimates.mean
    couples = list(combinations(range(len(names)), 2))
    tests = difference_tests(estimates).to_numpy()
    p = holm(pd.Series([tests[couple] for couple in couples], dtype=float))
    ahead = np.zeros(tests.shape, bool)
    for row in np.flatnonzero(p <= ALPHA):
        best, worst = sorted(couples[row], key=lambda at: mean[at], reverse=better == "high")
        ahead[best, worst] = True
    return pd.DataFrame(ahead, names, names)


def rank_ranges(estimates: Estimates, better: Better) -> pd.DataFrame:
    """The ranks that each strategy may have: `first` … `last`, 1 the best.

    `first` is one more than the strategies that are better beyond doubt, and `last` leaves room for
    those that are worse beyond doubt: a confidence set, at 95 % for all strategies together
    (Mogstad et al. 2024, Review of Economic Studies 91, 476–518). Strategies that nothing tells
    apart share their places. One without a value has none, NaN.
    """
    ahead = better_beyond_doubt(estimates, better)
    known = ahead.index[np.isfinite(estimates.mean)]
    ranks = {"first": 1.0 + ahead.sum(axis=0), "last": len(known) - ahead.sum(axis=1)}
    return pd.DataFrame(ranks, known).reindex(ahead.index)


def tie_groups(ranges: pd.DataFrame) -> pd.Series:
    """The groups of strategies that `rank_ranges` do not tell apart: 1, 2, …, from the best.

    A group ends where every strategy before is better beyond doubt than every one after, so two in
    one group need not be tied with each other, but are through others.
    """
    order = ranges.sort_values(["first", "last"], kind="stable")
    # all before have no place left from here on, so that this row opens a group
    reach = order["last"].cummax().shift(fill_value=0)
    groups = (order["first"] > reach).cumsum().where(order["first"].notna())
    return groups.reindex(ranges.index)


def discriminative_power(cells: pd.DataFrame) -> pd.Series:
    """Return how well each data set tells strategies apart: their spread over that of seeds.

    The standard deviation of the strategies' means, over that of seeds within a strategy and an
    architecture (as between and within methods in Isensee et al. 2024, arXiv 2404.09556). About
    √(1/n) of n cells where strategies do not differ; NaN where seeds do not vary, or are alone.
    """
    between = cells.groupby(level="dataset", sort=False).mean().std(axis=1)
    variance = cells.groupby(level=PAIR, sort=False).var()
    within = variance.groupby(level="dataset", sort=False).mean().mean(axis=1) ** 0.5
    return between / within.where(within > 0)


def agreement(values: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return how far the other columns agree with one, over the rows in which both have a value.

    `rank`: Spearman's correlation; `sign`: the part of the rows in which both have one sign;
    `rows`: how many these are. NaN where one of them does not vary.

    >>> agreement(pd.DataFrame({"a": [1, 2, 3.0], "b": [-1, 5, 9.0]}), "a").loc["b"].tolist()
    [1.0, 0.6666666666666666, 3.0]
    """
    rows = {}
    for name in values.columns.drop(reference):
        both = values[[name, reference]].dropna()
        ranks = both.rank()
        rows[name] = {
            "rank": ranks[name].corr(ranks[reference]),
            "sign": (np.sign(both[name]) == np.sign(both[reference])).mean(),
            "rows": float(len(both)),
        }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["rank", "sign", "rows"])


def binomial_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a part (Clopper & Pearson 1934, Biometrika 26, 404–413).

    >>> [round(end, 3) for end in binomial_interval(18, 18)]
    [0.815, 1.0]
    """
    ends = stats.binomtest(hits, trials).proportion_ci(1 - ALPHA, "exact")
    return float(ends.low), float(ends.high)


def rank_correlation_interval(rank: float, cells: int) -> tuple[float, float]:
    """Return the 95 % interval of Spearman's correlation of so many independent cells.

    Fisher's transformation with the variance (1 + ρ²/2)/(n − 3) of Bonett & Wright (2000),
    Psychometrika 65, 23–28. NaN of less than four cells, or of no correlation.

    >>> [round(end, 2) for end in rank_correlation_interval(0.58, 60)]
    [0.36, 0.74]
    """
    if cells < 4 or not abs(rank) <= 1:
        return np.nan, np.nan
    reach = stats.norm.ppf(1 - ALPHA / 2) * np.sqrt((1 + rank**2 / 2) / (cells - 3))
    with np.errstate(divide="ignore"):
        low, high = np.tanh(np.arctanh(rank) + reach * np.array([-1, 1]))
    return float(low), float(high)


def neighbour_correlation(series: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Return how far neighbours in several series correlate, with a 95 % interval.

    `series` are (B,) deviations from their mean, of which each counts by its variance. The mean
    is made unbiased as by Marriott & Pope (1954, Biometrika 41, 390–402): r + (1 + 3 r)/B for B
    values in a series. The interval is that of no correlation, ± 1.96/√ΣB.

    >>> there_and_back = np.tile([1.0, -1.0], 50)
    >>> [round(end, 2) for end in neighbour_correlation([there_and_back])]
    [-1.0, -1.0, -0.81]
    """
    shape = [each - each.mean() for each in series if len(each) > 2 and each.std() > 0]
    if not shape:
        return np.nan, np.nan, np.nan
    count = sum(map(len, shape))
    scaled = [each / each.std() for each in shape]
    raw = sum(float(each[1:] @ each[:-1]) for each in scaled) / count
    mean = raw + (1 + 3 * raw) * len(scaled) / count
    reach = stats.norm.ppf(1 - ALPHA / 2) / np.sqrt(count)
    ends = np.clip([mean, mean - reach, mean + reach], -1, 1)
    return float(ends[0]), float(ends[1]), float(ends[2])


def pareto(dice: pd.Series, asymmetry: pd.Series) -> pd.Series:
    """Which strategies none other beats: as much Dice at less asymmetry, or more at as much. Bool.

    >>> pareto(pd.Series([0.9, 0.8, 0.7]), pd.Series([0.3, 0.1, 0.2])).tolist()
    [True, True, False]
    """
    high, low = dice.to_numpy(float), asymmetry.to_numpy(float)
    as_good = (high[:, None] >= high) & (low[:, None] <= low)
    beaten = (as_good & ~as_good.T).any(0)
    return pd.Series(~beaten & np.isfinite(high) & np.isfinite(low), dice.index)
