"""The leaderboard at a glance: slice shares, bias and accuracy of each strategy in one picture."""

import io
from typing import TYPE_CHECKING

import pandas as pd

from emsym.leaderboard.board import Board

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ON_EITHER_SIDE, _CENTRE = ("#3b6fb6", "#d1793b"), "#c9ccd1"


def draw(board: Board) -> bytes:
    """A PNG with a row per strategy and a panel per score: mean ± sd as in the tables.

    Over all data sets and architectures that the strategies share.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    _, rows = next(board.groups())
    names = [str(name) for name in rows.index]
    panels = [score for score in board.scores if score.glance and score.key in rows]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 1.3 + 0.34 * len(names)), dpi=140, layout="constrained")
        axes = figure.subplots(
            1, 1 + len(panels), sharey=True, width_ratios=[1.6] + [1] * len(panels)
        )
        _draw_shares(axes[0], board, rows)
        for axis, score in zip(axes[1:], panels, strict=True):
            mean, sd = rows[score.key, "mean"], rows[score.key, "sd"].fillna(0)
            best = score.best(mean)
            axis.errorbar(mean, range(len(names)), xerr=sd, fmt="none", ecolor="#8a8f98", lw=1.2)
            colours = ["#1f7a4d" if is_best else "#30343b" for is_best in best]
            axis.scatter(mean, range(len(names)), c=colours, s=28, zorder=3)
            axis.set_title(score.title, fontsize=9)
            axis.grid(axis="x", color="#e6e8eb")
            axis.set_axisbelow(True)
            if score.better == "low":
                axis.set_xlim(left=0)
            else:  # a difference of a few thousandths must not look like a gulf
                middle = (mean.min() + mean.max()) / 2
                half = max(0.06, (mean.max() - mean.min()) * 0.6)
                axis.set_xlim(middle - half, middle + half)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        figure.suptitle(f"{board.title} · weights {board.records[0].weights.origin}", fontsize=10)
        png = io.BytesIO()
        figure.savefig(png, metadata={"Software": None})
    return png.getvalue()


def _draw_shares(axis: "Axes", board: Board, rows: pd.DataFrame) -> None:
    left = pd.Series(0.0, index=rows.index)
    slices = len(board.shares)
    for index, name in enumerate(board.shares):
        share = rows[name, "mean"].fillna(0)
        side = index - slices // 2
        colour = _CENTRE if side == 0 else _ON_EITHER_SIDE[side > 0]
        bars = axis.barh(range(len(rows)), share, left=left, color=colour, edgecolor="white")
        axis.bar_label(
            bars, [f"{value:.2f}".removeprefix("0") for value in share], label_type="center"
        )
        left = left + share
    axis.set_xlim(0, 1)
    axis.set_title("slice share: before, centre, after", fontsize=9)
