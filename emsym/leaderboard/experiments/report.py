"""The answer of an experiment: sentences and tables that belong to a leaderboard."""

from dataclasses import dataclass

import pandas as pd

from emsym.leaderboard.board import Board
from emsym.wording import interval

Columns = list[tuple[str, list[str]]]
"""A table: the head of each column, and its texts."""


@dataclass(frozen=True)
class Report:
    """The answer of the cells of one or several leaderboards to one question, as plain text."""

    title: str
    board: Board
    """The leaderboard that it stands with; of several, the last."""
    lines: list[str]
    """Sentences."""
    tables: list[Columns]


def interval_texts(table: pd.DataFrame, digits: int) -> list[str]:
    """Return the rows of a table of intervals, `mean`, `low` and `high`, as texts."""
    rows = table[["mean", "low", "high"]].itertuples(index=False, name=None)
    return [interval(mean, low, high, digits) for mean, low, high in rows]
