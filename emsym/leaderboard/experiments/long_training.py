"""The bias over a long training: does it heal, and does a symmetric start stay near?"""

import numpy as np
import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import UNIT, Estimates, estimate_means
from emsym.leaderboard.experiments.report import Columns, Report
from emsym.leaderboard.experiments.shared_values import methods
from emsym.leaderboard.intervals import intervals, ratio_intervals
from emsym.leaderboard.statistics import against
from emsym.scores.catalogue import score_of
from emsym.wording import bounds, interval

LONG = 10
"""A training is long whose last look comes at so many times the steps of its first one."""


def long_training(board: Board) -> Report | None:
    """Return the report of a leaderboard whose networks were looked at over a long training.

    Looks hold means of sections: what the noise of sections adds to sizes is not taken away.
    """
    if not board.by_sections or not board.shared:
        return None
    looks = board.looks
    steps = sorted(step for step in looks["step"].unique() if step > 0)
    if not steps or steps[-1] < LONG * steps[0]:
        return None
    lines, tables = [], []
    for how, prefix in methods(board).items():
        key = f"{prefix}/model_asymmetry"
        values = by_step(board, looks, key)
        if len(values):
            tables.append(_table(how, key, values))
            lines += _changes(how, key, values)
            lines += _against_baseline(board, how, key, values)
    return Report("Bias over training", board, lines, tables) if tables else None


def by_step(board: Board, looks: pd.DataFrame, key: str) -> dict[int, pd.DataFrame]:
    """Return a score at each step, with its sign: index `UNIT`, a column per ranked strategy."""
    looks = looks[looks["score"] == key]
    looks = looks[pd.MultiIndex.from_frame(looks[UNIT[:2]]).isin(board.shared)]
    tables = {
        int(step): part.pivot(index=UNIT, columns="init", values="value").reindex(
            columns=board.ranked
        )
        for step, part in looks.groupby("step")
    }
    return {step: table for step, table in tables.items() if table.notna().all(axis=None)}


def _sizes(cells: pd.DataFrame, key: str) -> Estimates:
    return estimate_means(cells, squared=True, floor=score_of(key).floor)


def _table(how: str, key: str, values: dict[int, pd.DataFrame]) -> Columns:
    head = f"model asymmetry by {how}, and its least to most over cells, after steps"
    columns: Columns = [(head, [f"{step:,}" for step in values])]
    for name in next(iter(values.values())):
        texts = []
        for cells in values.values():
            row = intervals(_sizes(cells, key), (0, 1)).loc[name]
            size = cells[name].abs()
            spread = bounds(size.min(), size.max(), 3)
            texts.append(f"{interval(row['mean'], row['low'], row['high'], 3)}; {spread}")
        columns.append((name, texts))
    return columns


def _changes(how: str, key: str, values: dict[int, pd.DataFrame]) -> list[str]:
    """Say by how much the bias of each strategy changes from the first look to the last.

    A symmetric start cannot become less biased, so that no test of a change means anything.
    """
    (first, before), *_, (last, after) = values.items()
    lines = []
    for name in before:
        what = f"The model asymmetry of {name} by {how}"
        if (before[name].abs() < score_of(key).floor).all():
            row = intervals(_sizes(after, key), (0, 1)).loc[name]
            now = interval(row["mean"], row["low"], row["high"], 3)
            lines.append(f"{what} is 0 at step {first:,}, and {now} at {last:,}.")
            continue
        cells = pd.DataFrame({str(first): before[name], str(last): after[name]})
        row = against(str(first), cells.abs(), _sizes(cells, key), 1).loc[str(last)]
        change = interval(row["mean"], row["low"], row["high"], 3)
        same = (np.sign(before[name]) == np.sign(after[name])).sum()
        lines.append(
            f"{what} {_verdict(row)} from step {first:,} to {last:,}: by {change}; its sign stays "
            f"in {same} of {len(cells)} cells."
        )
    return lines


def _verdict(row: pd.Series) -> str:
    if row["high"] < 0:
        return "shrinks"
    return "grows" if row["low"] > 0 else "is not shown to change"


def _against_baseline(
    board: Board, how: str, key: str, values: dict[int, pd.DataFrame]
) -> list[str]:
    """Say how far the last biases are below the baseline's."""
    if board.baseline is None:
        return []
    last, cells = list(values.items())[-1]
    table = ratio_intervals(_sizes(cells, key), board.baseline).drop(index=board.baseline)
    return [
        f"After {last:,} steps the model asymmetry of {name} by {how} is "
        f"{interval(row['mean'], row['low'], row['high'], 0)} % less than that of {board.baseline}."
        for name, row in table.iterrows()
        if pd.notna(row["mean"])
    ]
