"""Missing sections: the Dice that is lost without the slice before or after the segmented one.

Losses are of Dice section by section, as Dice without a slice is, and not of the pooled Dice.
"""

import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import UNIT, Estimates
from emsym.leaderboard.experiments.report import Columns, Report, interval_texts
from emsym.leaderboard.experiments.shared_values import (
    estimates_of_sections,
    measured_sections,
    signed_estimates,
)
from emsym.leaderboard.intervals import intervals
from emsym.leaderboard.statistics import against
from emsym.wording import p_value

BEFORE, AFTER, ASYMMETRY = "dice_without_before", "dice_without_after", "missing_asymmetry"


def missing_sections(board: Board) -> Report | None:
    """Return the report of a leaderboard whose protocol says that missing sections decide."""
    if board.primary != ASYMMETRY or not board.by_sections or not {BEFORE, AFTER} <= {*board.done}:
        return None
    dice, before, after = (
        measured_sections(board, key) for key in (f"dice@{board.threshold}", BEFORE, AFTER)
    )
    if not len(dice):
        return None
    block = int(board.first["slices"])

    def means(table: pd.DataFrame) -> Estimates:
        return estimates_of_sections(table, block)

    whole, lost = means(dice), means(dice - (before + after) / 2)
    sides = signed_estimates(board, ASYMMETRY)
    columns: Columns = [
        ("strategy", list(board.ranked)),
        ("Dice by section", _texts(whole)),
        ("lost without z−1", _texts(means(dice - before))),
        ("lost without z+1", _texts(means(dice - after))),
        ("more lost without z+1, the network's part", _texts(sides, 4)),
    ]
    lines = [_leaning(sides)]
    if board.baseline is not None:
        cells = (dice - (before + after) / 2).groupby(level=UNIT, sort=False).mean()
        rows = against(board.baseline, cells, lost, 2).reindex(board.ranked)
        columns.append((f"lost − {board.baseline}", interval_texts(rows, 4)))
        columns.append(("p (Holm)", [p_value(p) for p in rows["p_holm"]]))
        lines.append(_less_lost(rows, board.baseline))
    return Report("Missing sections", board, lines, [columns])


def _texts(estimates: Estimates, digits: int = 3) -> list[str]:
    return interval_texts(intervals(estimates, (-1, 1)), digits)


def _leaning(sides: Estimates) -> str:
    table = intervals(sides, (-1, 1))
    parts = []
    for side, rows in (("z+1", table["low"] > 0), ("z−1", table["high"] < 0)):
        if names := list(table.index[rows]):
            parts.append(f"more without {side}: {', '.join(names)}")
    if not parts:
        return "No network is shown to lose more without the slice on one side than on the other."
    return f"By the networks themselves, with 95 %, is lost {'; '.join(parts)}."


def _less_lost(rows: pd.DataFrame, baseline: str) -> str:
    less = rows.index[(rows["p_holm"] < 0.05) & (rows["mean"] < 0)]
    more = rows.index[(rows["p_holm"] < 0.05) & (rows["mean"] > 0)]
    parts = [
        f"{word} than {baseline}: {', '.join(names)}"
        for word, names in (("less", less), ("more", more))
        if len(names)
    ]
    if not parts:
        return f"No strategy is shown to lose less or more than {baseline}."
    return f"Of a missing neighbour, on average over both, lose {'; '.join(parts)}."
