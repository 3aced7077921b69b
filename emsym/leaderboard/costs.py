"""The cost of each strategy beside the baseline's: time of training and of answers, parameters."""

import numpy as np
import pandas as pd
from scipy import stats

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import UNIT

RATIOS = ("step_ms", "answer_ms", "parameters")
MACHINE = ["device", "processor"]


def cost_table(board: Board) -> pd.DataFrame:
    """Return a row per strategy: `passes`, and of each of `RATIOS` `NAME`, `NAME_low`, `NAME_high`.

    They are geometric means over couples of cells with the baseline's, of one data set,
    architecture, seed and kind of machine, with 95 % intervals (Student's t of the logarithms); NaN
    for less than two couples. Empty where no cell of the baseline knows its cost.
    """
    cells = board.done.reindex(columns=[*UNIT, *MACHINE, "init", "passes", *RATIOS])
    cells = cells.dropna(subset=["passes"])
    own = cells[cells["init"] == board.baseline]
    if not len(own):
        return pd.DataFrame()
    # a machine that says nothing of itself is one like others that say nothing
    keys = [*UNIT, *MACHINE]
    filled = cells.fillna(dict.fromkeys(MACHINE, ""))
    theirs = own.fillna(dict.fromkeys(MACHINE, "")).set_index(keys)[list(RATIOS)].astype(float)
    rows = {}
    for name in board.order:
        ours = filled[filled["init"] == name].set_index(keys)
        if not len(ours):
            continue
        logs = np.log(ours[list(RATIOS)].astype(float) / theirs.reindex(ours.index)).dropna()
        rows[name] = {"passes": ours["passes"].astype(float).max(), **_ratios(logs)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _ratios(logs: pd.DataFrame) -> dict[str, float]:
    found, count = {}, len(logs)
    for name in logs:
        mean = logs[name].mean()
        reach = np.nan
        if count > 1:
            reach = stats.t.ppf(0.975, count - 1) * logs[name].std() / count**0.5
        for end, value in (("", mean), ("_low", mean - reach), ("_high", mean + reach)):
            found[f"{name}{end}"] = float(np.exp(value))
    return found
