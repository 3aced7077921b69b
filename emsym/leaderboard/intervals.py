"""The 95 % intervals of means, differences and reductions: ± Student's t × the standard error."""

import numpy as np
import pandas as pd
from scipy import stats

from emsym.leaderboard.estimates import PAIR, Estimates, own, sizes

LEVEL = 0.95


def intervals(
    estimates: Estimates, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> pd.DataFrame:
    """Each strategy's mean over all pairs: `mean`, `low`, `high`.

    `low` and `high` are cut to what the score can be, `bounds`, and NaN where a pair has a single
    seed.
    """
    error, freedom = estimates.error(own)
    reach = _reach(error, freedom, estimates.alone)
    return _shown(estimates.mean, reach, estimates.squared, bounds, estimates.point.columns)


def pair_intervals(
    estimates: Estimates, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> pd.DataFrame:
    """As `intervals`, of each pair by itself: index (*PAIR, strategy)."""
    error, freedom = estimates.pair_errors(own)
    reach = _reach(error, freedom, (estimates.seeds < 2)[:, None]).ravel()
    point = estimates.point.to_numpy().ravel()
    return _shown(point, reach, estimates.squared, bounds, _pair_index(estimates.point))


def difference_intervals(estimates: Estimates, baseline: str, most: float = np.inf) -> pd.DataFrame:
    """All strategies less one, over all pairs: `mean`, `low`, `high`, within ±`most`."""
    column = list(estimates.point.columns).index(baseline)
    error, freedom = (each[:, column] for each in estimates.difference_error())
    reach = _reach(error, freedom, estimates.alone)
    difference = estimates.shown - estimates.shown[column]
    return _shown(difference, reach, False, (-most, most), estimates.point.columns)


def pair_difference_intervals(
    estimates: Estimates, baseline: str, most: float = np.inf
) -> pd.DataFrame:
    """As `difference_intervals`, of each pair by itself: index (*PAIR, strategy)."""
    names = list(estimates.point.columns)
    rows = [
        difference_intervals(estimates.take([pair], names), baseline, most)
        for pair in estimates.point.index
    ]
    return pd.concat(rows).set_axis(_pair_index(estimates.point))


def ratio_intervals(estimates: Estimates, baseline: str) -> pd.DataFrame:
    """By how many per cent each strategy's mean is below the baseline's: `mean`, `low`, `high`.

    The standard error is that of a ratio to first order (the delta method). NaN where the
    baseline's mean is 0, and no interval where its own reaches down to 0. At most 100, for means
    that cannot be negative.
    """
    column = list(estimates.point.columns).index(baseline)
    base = estimates.mean[column] if estimates.mean[column] > 0 else np.nan
    ratio = estimates.mean / base

    def contrast(covariance: np.ndarray) -> np.ndarray:
        variances = own(covariance)
        theirs = variances[..., [column]]
        variance = variances - 2 * ratio * covariance[..., column] + ratio**2 * theirs
        return np.where(variance < 1e-12 * (variances + ratio**2 * theirs), 0, variance)

    error, freedom = estimates.error(contrast)
    # nothing is told of a part of what may be nothing
    unsound = not intervals(estimates).loc[baseline, "low"] > 0
    reach = _reach(error / base, freedom, unsound)
    ends = {"mean": ratio, "low": ratio + reach, "high": ratio - reach}
    parts = {name: np.maximum(each, 0) for name, each in ends.items()}
    rows = {name: np.sqrt(each) if estimates.squared else each for name, each in parts.items()}
    return pd.DataFrame({n: 100 * (1 - each) for n, each in rows.items()}, estimates.point.columns)


def average_ranks(estimates: Estimates, better: str) -> pd.Series:
    """Return each strategy's rank on average over the pairs, 1 the best.

    Equal means share the average of their ranks, and one that lacks a value has none, NaN. `better`
    is "high" or "low".
    """
    known = estimates.point.dropna(axis=1)
    ranks = known.rank(axis=1, ascending=better == "low").mean()
    return ranks.reindex(estimates.point.columns)


def _reach(error: np.ndarray, freedom: np.ndarray, unknown: bool | np.ndarray) -> np.ndarray:
    return np.where(unknown, np.nan, error * stats.t.ppf((1 + LEVEL) / 2, freedom))


def _shown(
    point: np.ndarray,
    reach: np.ndarray,
    squared: bool,
    bounds: tuple[float, float],
    index: pd.Index,
) -> pd.DataFrame:
    low, high = point - reach, point + reach
    if squared:
        low = sizes(low)
        # squares lean to one side: as far up as a ratio of sizes goes down, where 0 is left out
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            far = sizes(point) * np.exp(reach / (2 * point))
        high = np.where(point > reach, far, sizes(high))
        point = sizes(point)
    rows = {"mean": point, "low": np.clip(low, *bounds), "high": np.clip(high, *bounds)}
    return pd.DataFrame(rows, index)


def _pair_index(point: pd.DataFrame) -> pd.MultiIndex:
    rows = [(*pair, name) for pair in point.index for name in point.columns]
    return pd.MultiIndex.from_tuples(rows, names=[*PAIR, "init"])
