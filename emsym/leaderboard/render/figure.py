"""The leaderboard at a glance: slice shares, bias and accuracy of each strategy in one picture."""

import io
from typing import TYPE_CHECKING

import numpy as np

from emsym.leaderboard.board import Board
from emsym.leaderboard.tiers import column_tiers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ON_EITHER_SIDE, _CENTRE = ("#3b6fb6", "#d1793b"), "#c9ccd1"
_TONES = {
    "better": ("#1f7a4d", "#1f7a4d"),
    "open": ("#59616b", "#ffffff"),
    "worse": ("#b3261e", "#b3261e"),
    "": ("#1f2328", "#1f2328"),
}
"""The edge and the face of a mark, by what a test against the baseline says, as on the page."""


def draw_figure(board: Board, most: int = 30) -> bytes:
    """A PNG with a row per strategy and a panel per score: means and 95 % intervals.

    Over the pairs that the ranked strategies share; the first `most` of them.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [name for name in board.order if name in board.ranked][:most]
    panels = [column for column in board.columns.values() if column.score.glance]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 1.3 + 0.34 * len(names)), dpi=140, layout="constrained")
        axes = figure.subplots(
            1,
            1 + len(panels),
            sharey=True,
            width_ratios=[1.6] + [1] * len(panels),
            squeeze=False,
        )[0]
        _draw_shares(axes[0], board, names)
        for axis, column in zip(axes[1:], panels, strict=True):
            rows, score = column.summary.loc[names], column.score
            for place, (_, row) in enumerate(rows.iterrows()):
                axis.plot([row["low"], row["high"]], [place, place], color="#8a8f98", lw=1.2)
            found = column_tiers(board, column)
            for place, name in enumerate(names):
                edge, face = _TONES[found.get(name, "")]
                axis.scatter(
                    rows["mean"].iloc[place], place, c=face, edgecolors=edge, s=28, zorder=3
                )
            arrow = {"high": " ↑", "low": " ↓", None: ""}[score.better]
            axis.set_title(score.title + arrow, fontsize=9)
            axis.grid(axis="x", color="#e6e8eb")
            axis.set_axisbelow(True)
            if score.better == "low":
                axis.set_xlim(left=0)
            elif rows["mean"].notna().any():  # a few thousandths must not look like a gulf
                low, high = (
                    rows[["mean", "low"]].min(axis=None),
                    rows[["mean", "high"]].max(axis=None),
                )
                half = max(0.06, (high - low) * 0.55)
                axis.set_xlim((low + high) / 2 - half, (low + high) / 2 + half)
        axes[0].set_yticks(range(len(names)), [name[:40] for name in names])
        axes[0].invert_yaxis()
        title = f"{board.title} · weights {board.first['weights']}"
        if board.baseline is not None:
            title += f"\ngreen: shown to be better than {board.baseline}, red: worse, "
            title += "hollow: not settled"
        figure.suptitle(title.replace("$", r"\$"), fontsize=10)
        png = io.BytesIO()
        figure.savefig(png, metadata={"Software": None})
    return png.getvalue()


def _draw_shares(axis: "Axes", board: Board, names: list[str]) -> None:
    means = board.share_means(board.shared).loc[names].fillna(0)
    left = np.zeros(len(names))
    for index, name in enumerate(board.shares):
        share = means[name].to_numpy()
        side = index - len(board.shares) // 2
        colour = _CENTRE if side == 0 else _ON_EITHER_SIDE[side > 0]
        bars = axis.barh(range(len(names)), share, left=left, color=colour, edgecolor="white")
        axis.bar_label(
            bars, [f"{value:.2f}".removeprefix("0") for value in share], label_type="center"
        )
        left = left + share
    axis.set_xlim(0, 1)
    axis.set_title("slice share: before, centre, after", fontsize=9)
