"""Two strategies, or two submissions of the same cells, side by side: paired differences."""

import io
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import pandas as pd

from emsym.errors import UserError, first_names
from emsym.leaderboard.board import Board
from emsym.leaderboard.board_choice import chosen_boards
from emsym.leaderboard.eligibility import BOARD, CELL, VERSION, shared_identity, shown_scores
from emsym.leaderboard.estimates import UNIT, estimate_means
from emsym.leaderboard.intervals import intervals, pair_difference_intervals
from emsym.leaderboard.results import Results
from emsym.leaderboard.statistics import against
from emsym.scores.score import Score
from emsym.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class StrategyDifference:
    """The difference in one score: the second less the first."""

    key: str
    """The score's key in a record."""
    score: Score
    row: pd.Series
    """Both means as `one` and `other`, and what `statistics.against` says."""
    pairs: pd.DataFrame
    """`mean`, `low`, `high` of the difference in each pair."""


@dataclass(frozen=True)
class Comparison:
    """The cells that two have in common, and by how much they differ there."""

    one: str
    other: str
    where: str
    """Which cells these are, in words."""
    differences: list[StrategyDifference]


def compare(results: Results, one: str, other: str, protocol: str | None = None) -> Comparison:
    """Compare two strategies or two submissions over the cells that both have.

    Strategies are compared on one board, that with the most cells of both, and submissions by one
    protocol. `protocol` is the name of that which is meant. Raises `UserError` for a name that is
    neither, where they share no cell, and where there are no cells of the protocol.
    """
    if one == other:
        raise UserError(f"'{one}' is compared with itself: name two.")
    leaderboards = chosen_boards(results, protocol)
    submissions = set(results.cells["submission"])
    if one in submissions and other in submissions:
        return _submissions(results, one, other, protocol)
    of_protocol = f" of the protocol '{protocol}'" if protocol else ""
    names = dict.fromkeys(name for board in leaderboards for name in board.names)
    for name in (one, other):
        if name not in names:
            near = get_close_matches(name, map(str, names), cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}? There" if near else ": there"
            raise UserError(
                f"There is no strategy with results{of_protocol} called '{name}', nor two "
                f"submissions of these names{hint} are {', '.join(map(str, names))}."
            )
    board = max(leaderboards, key=lambda board: len(_shared(board, one, other)))
    cells = _shared(board, one, other)
    if not len(cells):
        raise UserError(
            f"'{one}' and '{other}' share no cell{of_protocol}, so that nothing compares them."
        )
    where = f"{board.title}: {counted(len(cells) // 2, 'cell')} of each{_origins(cells)}"
    differences = []
    for key, score in board.scores.items():
        sections = board.sections(cells, key) if board.by_sections else None
        wide = cells.pivot(index=UNIT, columns="init", values=key)[[one, other]]
        block = int(board.first["slices"])
        differences.append(_difference(key, score, wide, sections, block))
    return Comparison(one, other, where, differences)


def _shared(board: Board, one: str, other: str) -> pd.DataFrame:
    """The cells of both in the units that both have."""
    cells = board.done[board.done["init"].isin([one, other])]
    both = cells.groupby(UNIT)["init"].transform("size") == 2
    return cells[both]


def _submissions(results: Results, one: str, other: str, protocol: str | None) -> Comparison:
    """The same cells as two have run them. What a pair is holds the strategy, too."""
    cells = results.cells[results.cells["status"] == "done"].fillna({"scoring_plugins": ""})
    cells = cells.assign(shared=shared_identity(cells))
    of_board = [*BOARD, "shared", *VERSION]
    same = [*of_board, "identity", *CELL, "data"]
    both = cells[cells["submission"].isin([one, other])]
    if protocol is not None:
        both = both[both["protocol"] == protocol]
    counts = both.groupby(same)["submission"].transform("nunique")
    both = both[counts == 2].drop_duplicates([*same, "submission"])
    if not len(both):
        where = f"one version of '{protocol}'" if protocol else "one version"
        raise UserError(f"The submissions '{one}' and '{other}' share no cell of {where}.")
    first = both.iloc[0]
    both = both[(both[of_board] == first[of_board]).all(axis=1)].drop(columns="shared")
    strategies = dict.fromkeys(both["init"])
    both = both.assign(architecture=both["architecture"] + " · " + both["init"])
    thresholds = [name[5:] for name in both if name.startswith("dice@")] or ["0.5"]
    shares = [name.rpartition("/")[0] for name in both if "/slice_share[" in name]
    prefix = next((s for s in shares if s.endswith("/true-foreground")), "saliency/true-foreground")
    differences = []
    for key, score in shown_scores(prefix, thresholds[0], both).items():
        if both[key].notna().any():
            wide = both.pivot(index=UNIT, columns="submission", values=key)[[one, other]]
            differences.append(_difference(key, score, wide, None, 1))
    cells = counted(len(both) // 2, "cell")
    where = f"{first['protocol']}, version {first['version']}: {cells} of each"
    return Comparison(one, other, f"{where}, of {first_names(strategies)}", differences)


def _origins(cells: pd.DataFrame) -> str:
    """Say how many cells of each strategy are whose, where they are of several."""
    counts = cells.groupby(["init", "submission"], sort=False).size()
    if cells["submission"].nunique() < 2:
        return ""
    parts = [f"{init}: {n} of {submission}" for (init, submission), n in counts.items()]
    return f" ({'; '.join(parts)})"


def _difference(
    key: str, score: Score, wide: pd.DataFrame, sections: pd.DataFrame | None, block: int
) -> StrategyDifference:
    estimates = estimate_means(
        wide, sections, squared=score.absolute, block=block, floor=score.floor
    )
    one, other = wide.columns
    values = wide.abs() if score.absolute else wide
    low, high = score.compared_bounds
    most = high - low
    row = against(one, values, estimates, most).loc[other]
    means, pairs = intervals(estimates)["mean"], pair_difference_intervals(estimates, one, most)
    row = pd.concat([pd.Series({"one": means[one], "other": means[other]}), row])
    return StrategyDifference(key, score, row, pairs.xs(other, level="init"))


def _frame(axis: "Axes", each: StrategyDifference, rows: list[pd.Series]) -> None:
    """Show all means and the whole interval: those of pairs with two seeds would dwarf them."""
    ends = [*each.row[["low", "mean", "high"]], *(row["mean"] for row in rows), 0]
    known = [float(end) for end in ends if pd.notna(end)]
    room = 0.3 * (max(known) - min(known))
    if len(rows) > 1 and room > 0:
        axis.set_xlim(min(known) - room, max(known) + room)


def plot(comparison: Comparison, kind: str = "png") -> bytes:
    """A picture with a panel per score at a glance: the difference in each pair, and over all.

    `kind` is ``png``, ``svg`` or ``pdf``.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = [each for each in comparison.differences if each.score.glance]
    pairs = panels[0].pairs.index[:40] if panels else []
    labels = [" · ".join(pair)[:60] for pair in pairs]
    with mpl.rc_context(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "emsym",
        }
    ):
        height = 1.6 + 0.32 * (len(labels) + 1)
        figure = Figure(figsize=(3.4 + 2.7 * len(panels), height), dpi=140, layout="constrained")
        axes = figure.subplots(1, max(1, len(panels)), sharey=True, squeeze=False)[0]
        for axis, each in zip(axes, panels, strict=False):
            rows = [row for _, row in each.pairs.loc[pairs].iterrows()]
            for place, row in enumerate([*rows, each.row]):
                colour = "#30343b" if place < len(pairs) else "#3b6fb6"
                axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.4)
                axis.plot([row["mean"]], [place], "o", color=colour, ms=5)
            axis.axvline(0, color="#8a8f98", lw=0.8)
            _frame(axis, each, rows)
            axis.set_title(each.score.title, fontsize=9)
            axis.grid(axis="x", color="#e6e8eb")
        axes[0].set_yticks(range(len(labels) + 1), [*labels, "all"])
        axes[0].invert_yaxis()
        title = f"{comparison.other} − {comparison.one}, 95 % intervals"
        title += " (those of single pairs may go on beyond a panel)" if len(pairs) > 1 else ""
        figure.suptitle(title.replace("$", r"\$"), fontsize=10)
        picture = io.BytesIO()
        metadata = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}  # the same bytes again
        figure.savefig(picture, format=kind, metadata={metadata[kind]: None})
    return picture.getvalue()
