"""The answer of a leaderboard in one sentence, made from the tests on its cells."""

from collections.abc import Callable
from dataclasses import dataclass

from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.costs import cost_table
from emsym.leaderboard.recommendation import SEEDS, bias_columns, enough_seeds, recommend
from emsym.leaderboard.render.sentences import listed, measures
from emsym.leaderboard.tiers import column_tiers
from emsym.leaderboard.verdicts import EVEN
from emsym.scores.catalogue import MARGIN
from emsym.scores.score import ALIKE
from emsym.wording import bounds, interval, number, sides

Code = Callable[[str], str]


@dataclass(frozen=True)
class Answer:
    """The answer to whoever asks whether both sides are treated alike."""

    word: str
    """``No``, ``Yes`` or ``Not decided``; empty where there is nothing to answer from."""
    sentence: str
    """The rest of the sentence."""
    more: str
    """How many strategies are shown to be less biased, by how many measures."""
    strategy: str | None
    """The strategy that the sentence names beside the baseline."""


def answer(board: Board, code: Code) -> Answer:
    """Return the answer; `code` writes a strategy's name."""
    bias = board.column("model_asymmetry")
    if board.baseline is None or bias is None or not board.ranked:
        return Answer("", "Nothing is compared with a baseline here.", "", None)
    word, part = _baseline(board, bias, code)
    chosen = _strategy(board)
    if not enough_seeds(board):
        rest = f"it takes {SEEDS} seeds of every pair to say what mends it"
    elif chosen is None:
        rest = "no other strategy is shown to be less biased"
    else:
        rest = _fix(board, chosen, code)
    return Answer(word, f"{part}; {rest}.", _counts(board, code), chosen)


def _baseline(board: Board, bias: Column, code: Code) -> tuple[str, str]:
    """Say whether the baseline is biased beyond sides that differ by a tenth, as claims have it."""
    assert board.baseline is not None
    low, high = bias.summary.loc[board.baseline, ["low", "high"]]
    start = f"with pretrained RGB filters as they are ({code(board.baseline)})"
    if low > EVEN:
        return "No", f"{start}, {_side(board)}"
    if high < EVEN:
        return "Yes", f"{start}, neither side counts a tenth more than the other"
    return "Not decided", f"{start}, one side may or may not count a tenth more than the other"


def _side(board: Board) -> str:
    """Name the side that counts more on average, where an interval says which."""
    before, after = sides(int(board.first["slices"]))
    column = board.column("neighbour_asymmetry")
    if column is not None:
        low, high = column.summary.loc[board.baseline, ["low", "high"]]
        if low > 0 or high < 0:
            more, less = (after, before) if low > 0 else (before, after)
            if int(board.first["slices"]) > 3:
                return f"{more} count more than those on the other side"
            words = {before: "before", after: "after"}
            one, other = (f"{words[each]} ({each})" for each in (more, less))
            return f"the slice {one} counts more than the one {other}"
    return "the slices on one side count more"


def _strategy(board: Board) -> str | None:
    """Return the strategy to name: one to take, else the least biased of those that are shown."""
    if not enough_seeds(board):
        return None
    taken = {name for each in recommend(board) for name in each.names}
    shown = [column_tiers(board, column) for column in bias_columns(board)]
    if not shown:
        return None
    by_all = {name for name in shown[0] if all(each.get(name) == "better" for each in shown)}
    by_lead = {name for name, tier in shown[0].items() if tier == "better"}
    fine = {name for name in by_all if board.verdict.get(name) == "non-inferior"}
    for names in (taken, fine, by_all, by_lead):
        if chosen := next((name for name in board.order if name in names), None):
            return chosen
    return None


def _fix(board: Board, chosen: str, code: Code) -> str:
    cuts: list[str] = []
    for how, column in measures(board).items():
        if column_tiers(board, column).get(chosen) != "better":
            continue  # what no test shows is not claimed
        row = column.summary.loc[chosen]
        if column.score.name == "model_asymmetry" and row.notna().get("cut", False):
            within = bounds(row["cut_low"], row["cut_high"], 0)
            of_this = " of this" * (not cuts)
            value = f"{number(row['cut'], 0)} %" + f" ({within})" * bool(within)
            if within == "100–100":
                value = "all"
            cuts.append(f"{value}{of_this} {how}")
    text = f"{code(chosen)} takes away {listed(cuts)}" if cuts else f"{code(chosen)} has less of it"
    verdict = board.verdict.get(chosen)
    cost = {
        "non-inferior": f", at no loss of Dice beyond {MARGIN}",
        "inferior": f", at a loss of Dice of more than {MARGIN}",
        "inconclusive": f", and whether it costs more than {MARGIN} of Dice is not settled",
    }
    return text + cost.get(str(verdict), "") + _time(board, chosen)


def _time(board: Board, chosen: str) -> str:
    """Say what a strategy costs in time, where that is shown to be more than a tenth."""
    table, parts = cost_table(board), []
    for key, does in {"step_ms": "train", "answer_ms": "answer"}.items():
        if chosen in table.index and table.loc[chosen, f"{key}_low"] > ALIKE:
            mean, low, high = table.loc[chosen, [key, f"{key}_low", f"{key}_high"]]
            parts.append(f"{interval(mean, low, high, 2)} times as long to {does}")
    return f", but takes {listed(parts)}" if parts else ""


def _counts(board: Board, code: Code) -> str:
    """Count the strategies that are shown to be less biased, by each measure and by all."""
    shown = {how: column_tiers(board, column) for how, column in measures(board).items()}
    if not shown:
        return ""
    better = {how: {n for n, t in each.items() if t == "better"} for how, each in shown.items()}
    total = len(board.ranked) - 1
    assert board.baseline is not None
    counts = [f"{len(names)} {how}" for how, names in better.items()]
    counts[0] = f"{len(next(iter(better.values())))} of {total} strategies {next(iter(better))}"
    if len(better) > 1:
        counts.append(f"{len(set.intersection(*better.values()))} by all of these")
    return f"Shown to be less biased than {code(board.baseline)}: {listed(counts)}."
