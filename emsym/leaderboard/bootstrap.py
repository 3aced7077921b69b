"""Intervals by a hierarchical, paired bootstrap: seeds are drawn first, then sections.

What is drawn in one *pair* of data set and architecture is drawn alike for all strategies, so that
their differences are paired. Pairs are fixed, for a protocol names them. Of a pair, seeds are drawn
with replacement and then blocks of neighbouring sections, the same for all drawn seeds: every seed
is tested on the same sections, and what a section does to all of them does not average out (the
pigeonhole bootstrap of Owen 2007, Annals of Applied Statistics 1, 386–411).

A bootstrap of n values has a variance that is too small by (n − 1)/n, and its percentiles are the
normal's, not Student's. With a handful of seeds that matters more than anything else, so deviations
are scaled by √(n/(n − 1)) (Rao & Wu 1988, JASA 83, 231–241), and the percentiles' distance from the
estimate by t/z (as Hesterberg 2015, American Statistician 69, 371–386, does by other percentiles),
t having Satterthwaite's degrees of freedom over the pairs. Without them the interval of a normal
mean covers .50 of the time for 2 seeds and .82 for 5, where it says .95.

What the intervals cover, by simulation with normal scores (`tests/leaderboard/test_coverage.py`
prints the table): .93 to .98 from 2 seeds on. They know nothing of what no seed has shown: with two
seeds a pair's interval is wide, and nobody should rank by it; with one there is none.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

PAIR = ["dataset", "architecture"]
UNIT = [*PAIR, "seed"]
"""What two strategies' cells share, so that their difference is paired."""

LEVEL = 0.95
DRAWS = 10_000


@dataclass(frozen=True)
class Draws:
    """The bootstrap distribution of the means of P pairs and K strategies."""

    point: pd.DataFrame
    """The means as they are: P rows, K columns."""
    drawn: np.ndarray
    """(B, P, K)."""
    seeds: np.ndarray
    """(P,): how many seeds there are of each pair."""

    def less(self, baseline: str) -> "Draws":
        """The same of the differences from one strategy."""
        column = list(self.point.columns).index(baseline)
        return Draws(
            self.point.sub(self.point[baseline], axis=0),
            self.drawn - self.drawn[:, :, column, None],
            self.seeds,
        )

    def variances(self) -> np.ndarray:
        """(P, K, K): of the difference of two strategies' means, in each pair."""
        apart = self.drawn - self.drawn.mean(0, dtype=float)
        apart = np.moveaxis(apart, 1, 0)  # (P, B, K)
        covariance = apart.transpose(0, 2, 1) @ apart / len(self.drawn)
        own = np.diagonal(covariance, axis1=1, axis2=2)
        found = own[:, :, None] + own[:, None] - 2 * covariance
        # what rounding leaves of strategies whose draws are the same
        floor = 1e-12 * (own[:, :, None] + own[:, None])
        return np.where(found > floor, found, 0 * found)

    def of(self, pair: int) -> "Draws":
        """A single pair's."""
        part = slice(pair, pair + 1)
        return Draws(self.point.iloc[part], self.drawn[:, part], self.seeds[part])


def bootstrap(
    cells: pd.DataFrame,
    sections: pd.DataFrame | None = None,
    *,
    absolute: bool = False,
    block: int = 1,
    draws: int = DRAWS,
    seed: int = 0,
) -> Draws:
    """Draw the means over seeds of each pair.

    `cells` has the index `UNIT` and a column per strategy; one with a missing value has no draws.
    `sections` has the index (*UNIT, "section") and the same columns: a section moves its cell's
    value by as much as it moves the mean of the sections, which is exact where a cell's score is
    that mean, and to first order where it is pooled. NaN is left out. Sections of one `block`,
    whose stacks overlap, are drawn together. `absolute` is of scores whose sign means nothing:
    |value| is averaged.
    """
    random = np.random.default_rng(seed)
    pairs = list(cells.groupby(level=PAIR, sort=False))
    drawn = np.empty((draws, len(pairs), cells.shape[1]), np.float32)
    points, counts = [], []
    of_pairs = dict(list(sections.groupby(level=PAIR))) if sections is not None else {}
    for index, (pair, part) in enumerate(pairs):
        value = part.to_numpy(float)
        weight = _seed_weights(len(part), draws, random)
        moved = None
        if pair in of_pairs:
            cube = _cube(of_pairs[pair], part)
            moved = _moved(cube, block, draws, random)
        if moved is None:
            drawn[:, index] = weight @ (np.abs(value) if absolute else value)
        else:
            moved += value
            if absolute:
                np.abs(moved, out=moved)
            drawn[:, index] = np.einsum("bs,bsk->bk", weight, moved)
        points.append((np.abs(value) if absolute else value).mean(0))
        counts.append(len(part))
    index = pd.MultiIndex.from_tuples([pair for pair, _ in pairs], names=PAIR)
    return Draws(pd.DataFrame(points, index, cells.columns), drawn, np.array(counts))


def _seed_weights(count: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """(B, S) weights of the drawn seeds, that add up to 1 and have a mean's whole variance."""
    even = np.full(count, 1 / count)
    if count == 1:
        return np.ones((draws, 1))
    often = random.multinomial(count, even, draws) / count
    return even + (often - even) * np.sqrt(count / (count - 1))


@dataclass(frozen=True)
class _Cube:
    """The values of the sections of a pair: (I, S, K), and where the sections lie."""

    values: np.ndarray
    places: np.ndarray


def _cube(sections: pd.DataFrame, cells: pd.DataFrame) -> _Cube:
    seeds = cells.index.get_level_values("seed")
    places = sections.index.get_level_values("section").unique().sort_values()
    values = np.full((len(places), len(seeds), cells.shape[1]), np.nan)
    rows = places.get_indexer(sections.index.get_level_values("section"))
    columns = pd.Index(seeds).get_indexer(sections.index.get_level_values("seed"))
    there = columns >= 0
    values[rows[there], columns[there]] = sections[cells.columns].to_numpy(float)[there]
    return _Cube(values, places.to_numpy())


def _moved(cube: _Cube, block: int, draws: int, random: np.random.Generator) -> np.ndarray | None:
    """(B, S, K): by how much drawing sections moves a cell; None for a single block."""
    _, blocks = np.unique((cube.places - cube.places.min()) // block, return_inverse=True)
    count = blocks.max() + 1
    if count == 1:
        return None
    often = random.multinomial(count, np.full(count, 1 / count), draws)[:, blocks]
    weight = often.astype(np.float32)
    flat = cube.values.reshape(len(cube.places), -1)
    there = np.isfinite(flat)
    known = np.where(there, flat, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = known.sum(0) / there.sum(0)
        # what is left of the mean, so that 32 bits are enough
        apart = np.where(there, known - mean, 0).astype(np.float32)
        total = len(blocks) if there.all() else weight @ there.astype(np.float32)
        moved = weight @ apart / (weight.sum(1, keepdims=True) if there.all() else total)
    moved[~np.isfinite(moved)] = 0  # no drawn section has a value
    moved *= np.sqrt(count / (count - 1))
    return moved.reshape(draws, *cube.values.shape[1:]).astype(float)


def intervals(found: Draws, bounds: tuple[float, float] = (-np.inf, np.inf)) -> pd.DataFrame:
    """Of each strategy the mean over all pairs: `mean`, `low`, `high`, `error`, `freedom`.

    `low` and `high` are cut to what the score can be, `bounds`, and NaN where a pair has a single
    seed. `error` is the standard error and `freedom` its degrees of freedom.
    """
    point = found.point.mean()
    whole = found.drawn.mean(1, dtype=float)
    spread = found.drawn.var(0, dtype=float)  # (P, K)
    freedom = _freedom(spread, found.seeds)
    low, high = _bounds(point.to_numpy(), whole, freedom)
    alone = found.seeds.min() < 2
    error = np.sqrt(spread.sum(0)) / len(found.seeds)
    return pd.DataFrame(
        {
            "mean": point,
            "low": np.nan if alone else np.clip(low, *bounds),
            "high": np.nan if alone else np.clip(high, *bounds),
            "error": np.nan if alone else error,
            "freedom": freedom,
        }
    )


def ratio_intervals(found: Draws, baseline: str) -> pd.DataFrame:
    """By how many per cent each strategy's mean is below the baseline's: `mean`, `low`, `high`.

    NaN where the baseline's mean is 0. At most 100, for means that cannot be negative.
    """
    column = list(found.point.columns).index(baseline)
    means = found.point.mean()
    whole = found.drawn.mean(1, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        point = 100 * (1 - means / means[baseline])
        drawn = 100 * (1 - whole / whole[:, [column]])
    freedom = _freedom(found.less(baseline).drawn.var(0, dtype=float), found.seeds)
    low, high = _bounds(point.to_numpy(), drawn, freedom)
    # nothing is told of a part of what may be nothing
    unsound = found.seeds.min() < 2 or bool((whole[:, column] <= 0).mean() > (1 - LEVEL) / 2)
    low, high = (np.where(unsound, np.nan, np.minimum(each, 100)) for each in (low, high))
    return pd.DataFrame({"mean": point, "low": low, "high": high})


def rank_intervals(found: Draws, better: str) -> pd.DataFrame:
    """The average rank of each strategy over the pairs, 1 the best: `mean`, `low`, `high`.

    Equal means share the average of their ranks. `better` is "high" or "low".
    """
    sign = -1 if better == "high" else 1
    point = stats.rankdata(sign * found.point.to_numpy(), axis=1).mean(0)
    drawn = np.zeros((len(found.drawn), found.point.shape[1]))
    for pair in range(len(found.seeds)):
        drawn += stats.rankdata(sign * found.drawn[:, pair], axis=1)
    drawn /= len(found.seeds)
    freedom = np.full(len(point), float((found.seeds - 1).sum()))
    low, high = _bounds(point, drawn, np.maximum(freedom, 1))
    if found.seeds.min() < 2:
        low = high = np.full(len(point), np.nan)
    frame = {"mean": point, "low": np.clip(low, 1, None), "high": np.clip(high, None, len(point))}
    return pd.DataFrame(frame, found.point.columns)


def _freedom(spread: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Satterthwaite's degrees of freedom of a sum of P independent parts with (P, K) variances."""
    least = np.maximum(seeds - 1, 1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = spread.sum(0) ** 2 / (spread**2 / least).sum(0)
    return np.where(np.isfinite(freedom), freedom, float(least.sum()))


def _bounds(
    point: np.ndarray, drawn: np.ndarray, freedom: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The draws' percentiles about the estimate, as far again from it as t is from z.

    About the estimate, not the draws' mean: that of |value| is larger than it is.
    """
    tail = (1 - LEVEL) / 2
    wider = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    with np.errstate(invalid="ignore"):  # of infinite ratios
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0) - drawn.mean(0)
        return point + low * wider, point + high * wider
