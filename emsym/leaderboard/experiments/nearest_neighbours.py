"""The sides that networks of more and more slices lean to, by their nearest neighbours.

The model asymmetry is over all distances, at which the colours of a cycled filling may balance. So
here the share of z+1 less that of z−1 is taken, as a part of both: before the first step, after
training, and as the norms of the filled stem predict it. Images have a part in it, too, but the
same for all strategies: their difference has none.
"""

from collections.abc import Callable

import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import UNIT, estimate_means
from emsym.leaderboard.experiments.families import Family
from emsym.leaderboard.experiments.report import Columns, Report, interval_texts
from emsym.leaderboard.experiments.shared_values import (
    estimates_of_sections,
    measured_sections,
    methods,
)
from emsym.leaderboard.intervals import difference_intervals, intervals
from emsym.wording import MISSING, number

Prediction = Callable[[Board, str], float | None]
"""From a leaderboard and a strategy to what the stem that it fills leans to."""


def nearest_neighbours(family: Family, predict: Prediction) -> Report | None:
    """Return the report of leaderboards whose number of slices varies."""
    if family.key != "slices" or not all(board.by_sections for board in family.boards.values()):
        return None
    rows = [
        row
        for board in family.boards.values()
        for how, prefix in methods(board).items()
        for row in _rows(board, how, prefix, predict)
    ]
    known = dict.fromkeys(head for row in rows for head, text in row.items() if text != MISSING)
    heads = [head for head in dict.fromkeys(head for row in rows for head in row) if head in known]
    columns: Columns = [(head, [row.get(head, MISSING) for row in rows]) for head in heads]
    lines = [
        "This is of the nearest neighbours alone; the model asymmetry is over all distances, at "
        "which the colours of a cycled filling may balance.",
        "Negative: z−1 counts more than z+1; positive: z+1 does. What the images bring is in all "
        "strategies alike, and not in their differences.",
    ]
    last = list(family.boards.values())[-1]
    return Report(f"{family.name}: z−1 against z+1", last, lines, [columns])


def asymmetry(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return (after − before)/(after + before) of two tables of shares."""
    return (after - before) / (after + before)


def _rows(board: Board, how: str, prefix: str, predict: Prediction) -> list[dict[str, str]]:
    keys = [f"{prefix}/slice_share[{place:+d}]" for place in (-1, 1)]
    if not set(keys) <= set(board.done):
        return []
    sections = asymmetry(*(measured_sections(board, key) for key in keys))
    estimates = estimates_of_sections(sections, int(board.first["slices"]))
    trained = interval_texts(intervals(estimates, (-1, 1)), 3)
    start = _start(board, keys)
    rows = []
    for name, text in zip(estimates.point.columns, trained, strict=True):
        predicted = predict(board, name)
        row = {"slices": str(board.first["slices"]), "by": how, "strategy": name}
        row["the stem's norms"] = MISSING if predicted is None else number(predicted, 2)
        row["before training"] = start.get(name, MISSING)
        row["after training"] = text
        if board.baseline not in (None, name):
            gap = difference_intervals(estimates, name, 2).loc[[board.baseline]]
            row[f"{board.baseline} less this"] = interval_texts(gap, 3)[0]
        rows.append(row)
    return rows


def _start(board: Board, keys: list[str]) -> dict[str, str]:
    """Return the texts of what networks lean to before the first step, where it was looked at."""
    looks = board.looks
    looks = looks[looks["step"] == 0]
    looks = looks[pd.MultiIndex.from_frame(looks[UNIT[:2]]).isin(board.shared)]
    tables = [
        looks[looks["score"] == key].pivot(index=UNIT, columns="init", values="value")
        for key in keys
    ]
    if not all(len(table) for table in tables):
        return {}
    cells = asymmetry(*tables).reindex(columns=board.ranked)
    texts = interval_texts(intervals(estimate_means(cells), (-1, 1)), 3)
    return dict(zip(board.ranked, texts, strict=True))
