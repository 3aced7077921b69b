"""Means over sections with their 95 % bootstrap intervals."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from emsym.auditing.result import Interval

RESAMPLES = 9999
SEED = 0
"""The same sections give the same interval."""


def mean_interval(values: np.ndarray) -> Interval | None:
    """The mean of (N,) values and its interval (bias-corrected and accelerated, Efron 1987).

    NaN is left out. None where nothing is left; no bounds for a single value.

    >>> mean_interval(np.array([2.0, np.nan]))
    Interval(value=2.0, low=None, high=None)
    """
    there = values[np.isfinite(values)]
    return _interval([there], lambda x, axis=-1: np.mean(x, axis=axis)) if len(there) else None


def part_intervals(parts: np.ndarray) -> list[Interval] | None:
    """Of (N, S) values, each column's sum as a part of all columns' sum, with its interval.

    Rows with NaN are left out. None where nothing is left or the whole is 0.

    >>> [part.value for part in part_intervals(np.array([[1.0, 3.0], [1.0, 3.0]]))]
    [0.25, 0.75]
    """
    there = parts[np.isfinite(parts).all(1)]
    whole = there.sum(1)
    if not len(there) or whole.sum() == 0:
        return None

    def part(x: np.ndarray, y: np.ndarray, axis: int = -1) -> Any:
        return np.sum(x, axis=axis) / np.sum(y, axis=axis)

    return [_interval([column, whole], part) for column in there.T]


def _interval(samples: list[np.ndarray], statistic: Callable[..., Any]) -> Interval:
    value = float(statistic(*samples)) + 0.0  # no −0
    if len(samples[0]) == 1:
        return Interval(value=value)
    every = [float(statistic(*(np.delete(s, i) for s in samples))) for i in range(len(samples[0]))]
    if np.ptp(every) <= 1e-12 * max(1.0, abs(value)):  # the sections agree to the last digits
        return Interval(value=value, low=value, high=value)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of degenerate samples, which are looked at below
        found = bootstrap(
            samples,
            statistic,
            paired=len(samples) > 1,
            vectorized=True,
            n_resamples=RESAMPLES,
            random_state=np.random.default_rng(SEED),
        ).confidence_interval
    if not np.isfinite([found.low, found.high]).all():
        return Interval(value=value)
    return Interval(value=value, low=float(found.low), high=float(found.high))
