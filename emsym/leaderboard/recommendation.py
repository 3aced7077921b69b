"""The answer to "which fix do I take?", decided by tests on the cells of a leaderboard.

A strategy is recommended that is shown to be less biased than the baseline by every measure there
is (saliency, exact Shapley values, flip error), loses no more Dice than the margin on any data set,
and is not shown to be worse than another such by any of the measures.
"""

from collections.abc import Callable
from dataclasses import dataclass

from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.eligibility import EXACT
from emsym.leaderboard.statistics import better_beyond_doubt, non_inferiority
from emsym.models.interventions.registry import INTERVENTIONS
from emsym.models.interventions.shipped import A3D, ADAPTER, SHARED_STEM
from emsym.scores.catalogue import MARGIN
from emsym.scores.score import BASELINE
from emsym.wording import interval

SURE = 0.005
"""A strategy is named where it is shown at this level: another run of the same protocol, on another
processor or with other seeds, then finds it again at .05 in four of five cases
(`tests/leaderboard/test_coverage.py`; Goodman 1992, Statistics in Medicine 11, 875–879)."""
SEEDS = 3
"""With fewer seeds a pair, only two in three cases are found again, and no strategy is named."""


def _kinds(name: str) -> set[str]:
    """Return the kinds of a strategy's interventions; of a plug-in that is not here, none."""
    known = set(INTERVENTIONS.names())
    return {INTERVENTIONS.get(each).when for each in name.split("+")[1:] if each in known}


def _keeps_weights(name: str) -> bool:
    """Return whether a strategy starts from all weights of a network as they are."""
    strategy, *interventions = name.split("+")
    rebuilding = (ADAPTER, SHARED_STEM, A3D)
    return strategy == BASELINE and not any(each in rebuilding for each in interventions)


SITUATIONS: dict[str, Callable[[str], bool]] = {
    "a new network, which must be as fast as it is": lambda name: "inference" not in _kinds(name),
    "a new network, which may take two passes": lambda name: True,
    "a network that keeps its weights, is trained on, and must be as fast as it is": lambda name: (
        _keeps_weights(name) and "inference" not in _kinds(name)
    ),
    "a trained network that is not to be trained again": lambda name: (
        _keeps_weights(name) and _kinds(name) == {"inference"}
    ),
}
"""Which strategies come into question where."""


@dataclass(frozen=True)
class Recommendation:
    """The strategies to take in a situation, in the order of the board."""

    situation: str
    names: list[str]
    """None of them shown to be worse than another of them; none where nothing is shown."""
    reason: str
    """The numbers, or why there is no strategy, as half a sentence."""


def recommend(board: Board) -> list[Recommendation]:
    """Recommend strategies for each situation that the board has strategies for."""
    made = []
    for situation, suits in SITUATIONS.items():
        names = [name for name in board.order if suits(name) and name != board.baseline]
        if any(name in board.ranked for name in names):
            chosen = _best_of(board, names)
            slices = int(board.first["slices"])
            of = "" if slices == 3 else f" (stacks of {slices} slices)"
            made.append(Recommendation(f"{situation}{of}", chosen, _reason(board, chosen)))
    return made


def bias_columns(board: Board) -> list[Column]:
    """Return the columns that measure the bias, and can be tested against the baseline."""
    columns = [
        board.column("model_asymmetry"),
        next((column for column in board.columns.values() if column.score is EXACT), None),
        board.column("flip_error"),
    ]
    return [c for c in columns if c is not None and "p_holm" in c.summary]


def less_biased(board: Board, column: Column, level: float) -> list[str]:
    """Return the strategies that are shown to have less of a bias than the baseline."""
    table = column.summary.reindex(board.order)
    return list(table.index[(table["less"] < 0) & (table["p_holm"] < level)])


def enough_seeds(board: Board) -> bool:
    """Return whether each pair has the seeds that a strategy is named with."""
    return bool(board.lead.shared.seeds.min() >= SEEDS)


def _best_of(board: Board, names: list[str]) -> list[str]:
    dice, columns = board.column("dice"), bias_columns(board)
    if board.baseline is None or dice is None or not columns or not enough_seeds(board):
        return []
    sure = [set(less_biased(board, column, SURE)) for column in columns]
    kept = [
        name for name in names if all(name in each for each in sure) and _keeps_dice(board, name)
    ]
    beaten = set[str]()
    for column in columns if len(kept) > 1 else ():
        ahead = better_beyond_doubt(column.shared, "low").loc[kept, kept]
        beaten |= set(ahead.columns[ahead.any()])
    return [name for name in kept if name not in beaten]


def _keeps_dice(board: Board, name: str) -> bool:
    """Return whether the Dice of a strategy is non-inferior to the baseline's on each data set."""
    dice, baseline = board.column("dice"), board.baseline
    assert dice is not None
    assert baseline is not None
    for dataset in dict.fromkeys(dataset for dataset, _ in board.shared):
        pairs = [pair for pair in board.shared if pair[0] == dataset]
        verdicts = non_inferiority(dice.shared.take(pairs, [baseline, name]), baseline, MARGIN)
        if verdicts[name] != "non-inferior":
            return False
    return True


def _reason(board: Board, chosen: list[str]) -> str:
    if board.baseline is None or not bias_columns(board):
        return "nothing is compared with a baseline here"
    if not enough_seeds(board):
        return f"it takes {SEEDS} seeds of every pair to recommend one"
    if not chosen:
        return (
            "none is shown to be less biased by every measure, and to lose no more Dice than "
            f"{MARGIN} on every data set"
        )
    parts = []
    for name in chosen:
        cuts = []
        for column in bias_columns(board):
            row = column.summary.loc[name]
            cut = interval(row["cut"], row["cut_low"], row["cut_high"], 0)
            cuts.append(f"{cut} % less {column.score.term}")
        parts.append(f"{name} has {', '.join(cuts)}")
    return "; ".join(parts)
