"""The cost of each strategy beside the baseline's: time of training and of answers, parameters."""

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import PAIR, UNIT

RATIOS = ("step_ms", "answer_ms", "parameters")
MACHINE = ["device", "processor"]


def cost_ratios(board: Board) -> pd.DataFrame:
    """Return a row per cell that knows its cost: *`PAIR`, `init`, `passes`, and `RATIOS`.

    The ratios are logarithms of a cell's cost over that of the baseline's cell of one data set,
    architecture, seed and kind of machine, NaN where there is none. Empty where no cell of the
    baseline knows its cost.
    """
    cells = board.done.reindex(columns=[*UNIT, *MACHINE, "init", "passes", *RATIOS])
    cells = cells.dropna(subset=["passes"])
    cells = cells.astype(dict.fromkeys(MACHINE, object))
    columns = [*PAIR, "init", "passes", *RATIOS]
    if not (cells["init"] == board.baseline).any():
        return pd.DataFrame(columns=columns)
    # a machine that says nothing of itself is one like others that say nothing
    keys = [*UNIT, *MACHINE]
    filled = cells.fillna(dict.fromkeys(MACHINE, ""))
    theirs = filled.loc[filled["init"] == board.baseline, [*keys, *RATIOS]]
    both = filled.merge(theirs, on=keys, how="left", suffixes=("", " of the baseline"))
    for name in RATIOS:
        both[name] = np.log(
            both[name].astype(float) / both[f"{name} of the baseline"].astype(float)
        )
    both.loc[both[list(RATIOS)].isna().any(axis=1), list(RATIOS)] = np.nan
    order = {name: at for at, name in enumerate(board.order)}
    return both.sort_values("init", key=lambda names: names.map(order), kind="stable")[columns]


@lru_cache(maxsize=1)  # a page asks for the same one several times
def cost_table(board: Board) -> pd.DataFrame:
    """Return a row per strategy: `passes`, and of each of `RATIOS` `NAME`, `NAME_low`, `NAME_high`.

    They are geometric means over couples of cells with the baseline's, as `cost_ratios` has them,
    with 95 % intervals (Student's t of the logarithms); NaN for less than two couples. Empty where
    no cell of the baseline knows its cost.
    """
    rows = {
        name: {"passes": float(part["passes"].max()), **_ratios(part[list(RATIOS)].dropna())}
        for name, part in cost_ratios(board).groupby("init", sort=False)
    }
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
