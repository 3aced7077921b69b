"""Which strategies are shown to be better or worse than the baseline, by tests on the cells."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.estimates import Estimates
from emsym.leaderboard.statistics import ALPHA, Better, difference_tests, holm

Tier = Literal["better", "open", "worse"]
"""``open``: nothing tells it apart from the baseline."""


def tiers(estimates: Estimates, baseline: str, better: Better) -> dict[str, Tier]:
    """Return the tier of each other strategy that has a value: tests at 5 %, by `holm` for all."""
    names = list(estimates.point.columns)
    shown = dict(zip(names, estimates.shown, strict=True))
    p = holm(difference_tests(estimates)[baseline].drop(index=baseline))
    found: dict[str, Tier] = {}
    for name, value in p.items():
        apart = shown[name] - shown[baseline]
        if np.isfinite(apart):
            ahead = (apart > 0) == (better == "high")
            found[str(name)] = "open" if not value < ALPHA else "better" if ahead else "worse"
    return found


def column_tiers(board: Board, column: Column | None) -> dict[str, Tier]:
    """Return the tiers by a score over the shared pairs; none where nothing is compared."""
    if column is None or column.score.better is None or board.baseline is None:
        return {}
    return tiers(column.shared, board.baseline, column.score.better)


def tiers_of_data_sets(board: Board, column: Column) -> dict[str, dict[str, Tier]]:
    """Return the tiers on each data set by itself, over its shared pairs."""
    if column.score.better is None or board.baseline is None:
        return {}
    names = list(column.shared.point.columns)
    return {
        dataset: tiers(column.shared.take(pairs, names), board.baseline, column.score.better)
        for dataset, pairs in pairs_of_data_sets(board.shared).items()
    }


def pairs_of_data_sets(pairs: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Return the pairs of each data set, in their order.

    >>> pairs_of_data_sets([("a", "x"), ("b", "x"), ("a", "y")])
    {'a': [('a', 'x'), ('a', 'y')], 'b': [('b', 'x')]}
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for pair in pairs:
        found.setdefault(pair[0], []).append(pair)
    return found


def in_tiers(board: Board) -> list[str]:
    """Return the strategies by tiers, each in the order of the board; unranked ones stand last.

    Those that are shown to be better come first, then the baseline, those that nothing tells apart
    from it, and those that are worse.
    """
    found = column_tiers(board, board.lead)
    places = {"better": 0, "open": 2, "worse": 3}

    def place(name: str) -> int:
        if name == board.baseline:
            return 1
        return places[found[name]] if name in found else 4

    return sorted(board.order, key=place) if found else board.order


def mean_of_data_sets(column: Column, board: Board) -> pd.DataFrame:
    """Return the means over the shared pairs of each data set: a row per strategy."""
    names = list(column.shared.point.columns)
    return pd.DataFrame(
        {
            dataset: column.shared.take(pairs, names).shown
            for dataset, pairs in pairs_of_data_sets(board.shared).items()
        },
        names,
    )
