"""Means over pairs, seeds and sections, with the variances that belong to them.

A *pair* is one of data set and architecture. Pairs are fixed, for a protocol names them; seeds and
sections are samples. What a mean over pairs owes to them is this, of every strategy and of every
difference of two:

* Each pair has its own S seeds: the variance of its mean is that of its cells over S.
* All pairs of a data set are tested on the same sections, whichever architecture and seed: what a
  section does is added over all of them before it is squared. Neighbouring sections whose stacks
  overlap are one block; there are B blocks.
* What a seed makes of a section by itself is in both, and is taken away once. So the variance is
  seeds + sections − both (two-way crossed random effects: Owen 2007, Annals of Applied Statistics
  1, 386–411; Cameron, Gelbach & Miller 2011, Journal of Business & Economic Statistics 29,
  238–249), and never less than either of the first two, which it cannot be in truth.

A variance has Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2, 110–114) over all
parts. A part known from f values is squared there, which is too much by (f + 2)/f on average; so
(Σ parts)² / Σ part²/(f + 2) − 2 is taken, which is f for a single part. Where all seeds together
leave less than three degrees of freedom, no more are claimed: two that happen to agree say nothing.

How often intervals hold the truth and tests are wrong, by simulation, is printed by
`tests/leaderboard/test_coverage.py`.

Of a score whose sign means nothing, such as the model asymmetry, the *size* is wanted. A mean of
|values| is too large where the noise of sections exceeds them, so the size is the root of the mean
of value² − variance, the variance being that which sections give each value. Means are those of the
squares, which add up; what is shown of them is a root, and the error of a difference of two roots
is that of their squares by the delta method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

PAIR = ["dataset", "architecture"]
UNIT = [*PAIR, "seed"]
"""Two strategies' cells share these, so that their difference is paired."""

FEW = 3
"""Where seeds have fewer degrees of freedom, those of sections are no help."""

Contrast = Callable[[np.ndarray], np.ndarray]
"""Covariances of strategies, (…, K, K) → variances of something linear in them, (…) or more."""


@dataclass(frozen=True)
class SectionMoves:
    """The effects of sections on the pairs of one data set."""

    pairs: np.ndarray
    """(A,): their numbers."""
    moves: np.ndarray
    """(B, A, K): by how much each block moves the mean over seeds, scaled so that the sum of
    products over blocks is a covariance."""

    def covariance(self, places: Sequence[int]) -> np.ndarray:
        """Return the (K, K) covariance of the sum over the pairs at these places of `pairs`."""
        moved = self.moves[:, list(places)].sum(1)
        return moved.T @ moved

    @property
    def freedom(self) -> int:
        """How many degrees of freedom there are: B − 1."""
        return len(self.moves) - 1


@dataclass(frozen=True)
class Estimates:
    """The means of P pairs and K strategies, and what they owe to seeds and sections."""

    point: pd.DataFrame
    """The means over seeds: P rows, K columns; of the squares where `squared`. NaN is missing."""
    seeds: np.ndarray
    """(P,): how many seeds there are of each pair."""
    of_seeds: np.ndarray
    """(P, K, K): the covariance of the means that comes from seeds."""
    of_both: np.ndarray
    """(P, K, K): the part that seeds and sections have in common."""
    sections: tuple[SectionMoves, ...]
    """A data set each; none where sections are not known."""
    squared: bool = False
    """Whether values are squares, whose roots are shown."""

    def take(self, pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> "Estimates":
        """Return those of some pairs and strategies."""
        if list(pairs) == list(self.point.index) and list(names) == list(self.point.columns):
            return self
        point = self.point.loc[list(pairs), list(names)]
        rows = self.point.index.get_indexer(point.index)
        columns = self.point.columns.get_indexer(point.columns)
        place = {old: new for new, old in enumerate(rows)}
        sections = []
        for each in self.sections:
            there = [at for at, pair in enumerate(each.pairs) if pair in place]
            if there:
                numbers = np.array([place[pair] for pair in each.pairs[there]])
                sections.append(SectionMoves(numbers, each.moves[:, there][:, :, columns]))
        square = np.ix_(rows, columns, columns)
        return replace(
            self,
            point=point,
            seeds=self.seeds[rows],
            of_seeds=self.of_seeds[square],
            of_both=self.of_both[square],
            sections=tuple(sections),
        )

    @cached_property
    def mean(self) -> np.ndarray:
        """(K,): the means over all pairs; NaN for a strategy that lacks one."""
        return self.point.to_numpy().mean(0)

    @property
    def alone(self) -> bool:
        """Whether a pair has a single seed, so that nothing is known of seeds."""
        return bool(self.seeds.min() < 2)

    @cached_property
    def slopes(self) -> np.ndarray:
        """(K,): by how much what is shown of a mean changes with it."""
        if not self.squared:
            return np.ones(len(self.mean))
        return size_slopes(self.mean, self.error(own)[0])

    def moves_of_difference(self, name: str, baseline: str) -> list[np.ndarray]:
        """Return by how much blocks move the difference of two strategies: (B,) a data set."""
        at = [self.point.columns.get_loc(each) for each in (name, baseline)]
        return [(each.moves[..., at[0]] - each.moves[..., at[1]]).sum(1) for each in self.sections]

    @property
    def shown(self) -> np.ndarray:
        """(K,): the means over all pairs as they are shown; of squares, their roots."""
        return sizes(self.mean) if self.squared else self.mean

    def difference_error(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the standard error of every difference that is shown, (K, K), and its freedom."""
        scale = np.outer(self.slopes, self.slopes)
        return self.error(lambda covariance: differences(covariance * scale))

    def error(self, contrast: Contrast) -> tuple[np.ndarray, np.ndarray]:
        """Return the standard error of a mean over all pairs, and its degrees of freedom."""
        return self._error(contrast, range(len(self.seeds)))

    def pair_errors(self, contrast: Contrast) -> tuple[np.ndarray, np.ndarray]:
        """Return the same of each pair by itself: (P, …) each."""
        errors, freedom = zip(
            *(self._error(contrast, [pair]) for pair in range(len(self.seeds))), strict=True
        )
        return np.array(errors), np.array(freedom)

    @cached_property
    def blocks(self) -> np.ndarray:
        """(P,): the degrees of freedom of each pair's sections, 0 where they are not known."""
        blocks = np.zeros(len(self.seeds), int)
        for each in self.sections:
            blocks[each.pairs] = each.freedom
        return blocks

    def _error(self, contrast: Contrast, pairs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        pairs = list(pairs)
        of_seeds, seeds = contrast(self.of_seeds[pairs]), self.seeds[pairs] - 1
        of_both, blocks = contrast(self.of_both[pairs]), self.blocks[pairs]
        chosen = set(pairs)
        moved = [
            (each, [at for at, pair in enumerate(each.pairs) if pair in chosen])
            for each in self.sections
        ]
        covariances = [each.covariance(there) for each, there in moved if there]
        of_sections = np.array([contrast(each) for each in covariances])
        of_sections = of_sections.reshape(-1, *of_seeds.shape[1:])
        freedom = np.array([each.freedom for each, there in moved if there])
        variance, freedom = combine(
            (of_seeds, seeds), (of_sections, freedom), (of_both, seeds * blocks)
        )
        return np.sqrt(variance) / len(pairs), freedom


Part = tuple[np.ndarray, np.ndarray]
"""Variances, (N, …), and the degrees of freedom that each is known from, (N,)."""


def combine(seeds: Part, sections: Part, both: Part) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance seeds + sections − both, and its degrees of freedom.

    >>> one = (np.array([3.0]), np.array([4]))
    >>> none = (np.zeros(0), np.zeros(0))
    >>> [each.item() for each in combine(one, none, none)]
    [3.0, 4.0]
    """
    first, second = seeds[0].sum(0), sections[0].sum(0)
    variance = np.maximum(first + second - both[0].sum(0), np.maximum(first, second))
    squares = np.zeros_like(variance)
    for variances, freedom in (seeds, sections, both):
        shape = (-1, *[1] * (variances.ndim - 1))
        squares = squares + (variances**2 / (freedom.reshape(shape) + 2)).sum(0)
    of_seeds = max(1, int(seeds[1].sum()))
    most = of_seeds + (int(sections[1].sum()) if of_seeds >= FEW else 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.clip(variance**2 / squares - 2, 1, most)
    return variance, np.where(np.isfinite(freedom), freedom, of_seeds)


def own(covariance: np.ndarray) -> np.ndarray:
    """Return the variances of the strategies themselves: (…, K, K) → (…, K)."""
    return np.diagonal(covariance, axis1=-2, axis2=-1)


def differences(covariance: np.ndarray) -> np.ndarray:
    """Return the variances of all differences, 0 where only rounding is left: (…, K, K) twice."""
    variances = own(covariance)
    both = variances[..., :, None] + variances[..., None, :]
    variance = both - 2 * covariance
    return np.where(variance < 1e-12 * both, 0, variance)


def sizes(values: np.ndarray) -> np.ndarray:
    """Return the roots of squares; of an estimate below 0, 0."""
    return np.sqrt(np.maximum(values, 0))


def size_slopes(squares: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return by how much a root changes with its square, 1/(2 √square), by the delta method.

    Where a square cannot be told from 0 its root changes by no more than the root of its error.
    """
    roots = np.maximum(2 * sizes(squares), sizes(errors))
    return np.divide(1, roots, out=np.zeros_like(roots), where=~(roots <= 0))


def estimate_means(
    cells: pd.DataFrame,
    sections: pd.DataFrame | None = None,
    *,
    squared: bool = False,
    block: int = 1,
    floor: float = 0,
) -> Estimates:
    """Return the means over seeds of each pair, and their covariances.

    `cells` has the index `UNIT` and a column per strategy, NaN where one has no value. `sections`
    has the index (*UNIT, "section") and the same columns: a section moves its cell's value by as
    much as it moves the mean of the sections, which is exact where a cell's score is that mean, and
    to first order where it is pooled. NaN is left out. Sections of one `block`, whose stacks
    overlap, count as one. `squared` is of scores whose sign means nothing. Cells whose |value| is
    less than `floor` are 0.
    """
    pairs = list(cells.groupby(level=PAIR, sort=False))
    count = cells.shape[1]
    shape = (len(pairs), count, count)
    of_seeds, of_both = np.zeros(shape), np.zeros(shape)
    points, seeds = [], np.array([len(part) for _, part in pairs], int)
    moved = _moves_of_pairs(cells, sections, block)
    means: dict[int, np.ndarray] = {}
    for index, (pair, part) in enumerate(pairs):
        value = part.to_numpy(float)
        nothing = np.abs(value) < floor
        value = np.where(nothing, 0, value)
        moves = moved.get(pair)  # (B, S, K)
        if moves is not None:
            moves = np.where(nothing, 0, moves)
        if squared:
            noise = 0 if moves is None else np.square(moves).sum(0)
            moves = None if moves is None else 2 * value * moves
            value = value**2 - noise
        points.append(value.mean(0))
        apart = value - value.mean(0)
        if len(part) > 1:
            of_seeds[index] = apart.T @ apart / (len(part) - 1) / len(part)
        if moves is not None:
            means[index] = moves.mean(1)
            if len(part) > 1:
                rest = (moves - moves.mean(1, keepdims=True)).reshape(-1, count)
                of_both[index] = rest.T @ rest / (len(part) - 1) / len(part)
    rows = pd.MultiIndex.from_tuples([pair for pair, _ in pairs], names=PAIR)
    point = pd.DataFrame(points, rows, cells.columns)
    return Estimates(point, seeds, of_seeds, of_both, _of_data_sets(rows, means), squared)


def _of_data_sets(pairs: pd.MultiIndex, means: dict[int, np.ndarray]) -> tuple[SectionMoves, ...]:
    names = pairs.get_level_values("dataset")
    moves = []
    for name in dict.fromkeys(names):
        numbers = [int(at) for at in np.flatnonzero(names == name) if at in means]
        if numbers:
            moves.append(SectionMoves(np.array(numbers), np.stack([means[n] for n in numbers], 1)))
    return tuple(moves)


def _moves_of_pairs(
    cells: pd.DataFrame, sections: pd.DataFrame | None, block: int
) -> dict[tuple[str, str], np.ndarray]:
    """By how much each block of sections moves each cell, (B, S, K), of the pairs that have any.

    The blocks are those of the data set, the same for all its pairs. They are scaled by
    √(B/(B − 1)), so that their squares add up to a variance. A data set of a single block has none,
    which cannot tell how blocks vary.
    """
    moves: dict[tuple[str, str], np.ndarray] = {}
    if sections is None:
        return moves
    places = sections.index.get_level_values("section")
    for numbers in sections.groupby(level="dataset", sort=False).indices.values():
        known = np.unique(places[numbers])
        _, block_of = np.unique((known - known.min()) // block, return_inverse=True)
        if block_of.max() == 0:
            continue
        one_set = sections.iloc[numbers]
        for pair, part in one_set.groupby(level=PAIR, sort=False):
            seeds = cells.loc[pair].index
            cube = np.full((len(known), len(seeds), cells.shape[1]), np.nan)
            rows = np.searchsorted(known, part.index.get_level_values("section"))
            columns = seeds.get_indexer(part.index.get_level_values("seed"))
            there = columns >= 0
            cube[rows[there], columns[there]] = part[cells.columns].to_numpy(float)[there]
            moves[pair] = _block_moves(cube, np.flatnonzero(np.diff(block_of, prepend=-1)))
    return moves


def _block_moves(cube: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(I, S, K) values of sections → (B, S, K): each block's part of the mean's deviation."""
    there = np.isfinite(cube)
    known = np.where(there, cube, 0)
    number = np.maximum(there.sum(0), 1)
    apart = np.where(there, known - known.sum(0) / number, 0) / number
    return np.add.reduceat(apart, starts, axis=0) * np.sqrt(len(starts) / (len(starts) - 1))
