"""The questions of a sceptical reader, each answered by a number with an interval."""

from collections.abc import Callable

from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.estimates import Estimates
from emsym.leaderboard.intervals import difference_intervals
from emsym.leaderboard.render.sentences import listed, measured, measures
from emsym.leaderboard.statistics import (
    binomial_interval,
    neighbour_correlation,
    rank_correlation_interval,
)
from emsym.scores.score import BASELINE
from emsym.wording import interval, number

Code = Callable[[str], str]


def questions(board: Board, code: Code) -> list[tuple[str, str]]:
    """Return questions and their answers, of the baseline and of the least biased strategy.

    Those of which the cells hold no number are left out. `code` writes a strategy's name.
    """
    best = next((name for name in board.order if name in board.ranked and name != BASELINE), None)
    if board.baseline is None or best is None or board.lead.shared.alone:
        return []
    answers = {
        "Is it the method?": _method(board, best, code),
        "Is it the volume?": _volume(board, best, code),
        "Is it a few seeds?": _seeds(board, best, code),
        "What if sections are alike?": _sections(board, best),
        "How large is it in nanometres?": _nanometres(board, best, code),
    }
    return [(question, answer) for question, answer in answers.items() if answer]


def _method(board: Board, best: str, code: Code) -> str:
    """By every measure of the bias, and how far methods agree on which cells are biased."""
    parts = [
        _both(measured(column, how), column, best, code) for how, column in measures(board).items()
    ]
    if not parts:
        return ""
    text = f"{_capital(listed(parts))}."
    method = board.headline.partition("/")[0]
    if method in board.methods.index:
        rank = board.methods.loc[method, "rank"]
        independent = len(board.lead.values)
        ends = rank_correlation_interval(rank, independent)
        text += (
            f" The rank correlation of {method} with exact values over cells is "
            f"{interval(rank, *ends, 2)}, its interval counting all strategies of a seed as one."
        )
    return text


def _volume(board: Board, best: str, code: Code) -> str:
    """In every data set by itself, and what the images bring without any network."""
    lead = board.lead
    names = list(lead.shared.point.columns)
    parts = []
    for dataset in dict.fromkeys(dataset for dataset, _ in board.shared):
        pairs = [pair for pair in board.shared if pair[0] == dataset]
        row = _difference(lead.shared.take(pairs, names), best)
        parts.append(f"{interval(*row, lead.score.digits)} on {dataset}")
    text = f"The {lead.score.term} of {code(best)} less that of {code(BASELINE)} is {listed(parts)}"
    if (brought := board.data_asymmetry) is not None:
        text += f"; the images themselves bring {code(BASELINE)} {_value(brought, BASELINE)}"
    return f"{text}."


def _seeds(board: Board, best: str, code: Code) -> str:
    """In how many couples of cells the best is ahead."""
    couples = (board.lead.values[best] - board.lead.values[BASELINE]).dropna()
    if board.lead.score.better == "low":
        couples = -couples
    ahead = int((couples > 0).sum())
    if not len(couples):
        return ""
    low, high = (100 * end for end in binomial_interval(ahead, len(couples)))
    part = interval(100 * ahead / len(couples), low, high, 0)
    return (
        f"{code(best)} is ahead in {ahead} of {len(couples)} couples of cells of one data "
        f"set, architecture and seed: {part} %."
    )


def _sections(board: Board, best: str) -> str:
    """How far neighbouring sections say the same, which intervals take them not to."""
    moves = board.lead.shared.moves_of_difference(best, BASELINE)
    if not moves:
        return ""
    mean, low, high = neighbour_correlation(moves)
    wider = max(1.0, (1 + mean) / (1 - mean)) ** 0.5 if mean < 1 else float("inf")
    blocks = sum(len(each) for each in moves)
    return (
        f"Intervals take blocks of sections to be independent. This difference correlates by "
        f"{interval(mean, low, high, 2)} between neighbours of {blocks} blocks; were it so of all, "
        f"the part of an interval that is due to sections would be {number(wider, 2)} times as "
        "wide."
    )


def _nanometres(board: Board, best: str, code: Code) -> str:
    columns = [column for column in board.columns.values() if "(nm)" in column.score.title]
    parts = [_both(column.score.term, column, best, code, " nm") for column in columns]
    return f"{_capital(listed(parts))}." if parts else ""


def _both(what: str, column: Column, best: str, code: Code, unit: str = "") -> str:
    ours, theirs = _value(column, best), _value(column, BASELINE)
    return f"the {what} is {theirs}{unit} with {code(BASELINE)} and {ours}{unit} with {code(best)}"


def _difference(estimates: Estimates, best: str) -> tuple[float, float, float]:
    row = difference_intervals(estimates, BASELINE).loc[best]
    return row["mean"], row["low"], row["high"]


def _value(column: Column, name: str) -> str:
    mean, low, high = column.summary.loc[name, ["mean", "low", "high"]]
    return interval(mean, low, high, column.score.digits)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
