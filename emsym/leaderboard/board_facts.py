"""A leaderboard in names and numbers: for a program, as the terminal is for a person."""

from typing import Any

from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.render import sentences

_SUMMARY = ("mean", "low", "high", "first", "last")
_DIFFERENCE = {
    "less": "difference",
    "less_low": "low",
    "less_high": "high",
    "p": "p",
    "p_holm": "p_holm",
}
"""Columns of a summary that are of the difference from the baseline, and their names here."""


def board_facts(board: Board) -> dict[str, Any]:
    """Return the facts of a leaderboard, its scores, and its strategies in their order.

    Of each ranked strategy and score: the `mean` over the pairs that all have, with a 95 % interval
    from `low` to `high`, the ranks from `first` to `last` that it may have, and the difference
    from the baseline, if there is one. A number is None where it is not known.
    """
    first = board.first
    shares = board.share_means(board.shared)
    return {
        "title": board.title,
        **{name: first[name] for name in ("protocol", "version", "digest", "weights")},
        "slices": int(first["slices"]),
        "synthetic": board.is_synthetic,
        "baseline": board.baseline,
        "done": len(board.done),
        "failed": int((board.cells["status"] != "done").sum()),
        "pairs": [{"dataset": name, "architecture": other} for name, other in board.shared],
        "scores": [
            {"key": key, "title": score.title, "better": score.better, "meaning": score.meaning}
            for key, score in board.scores.items()
        ],
        "strategies": [
            {
                "name": name,
                "ranked": name in board.ranked,
                "cells": int(board.has[name]),
                "needed": board.needed,
                "scores": {
                    key: _numbers(column, name)
                    for key, column in board.columns.items()
                    if name in board.ranked
                },
                "dice_verdict": board.verdict.get(name),
                "slice_shares": shares.loc[name].tolist(),
            }
            for name in board.order
        ],
        "conclusions": [sentences.measured_on(board), *sentences.conclusions(board, str)],
    }


def _numbers(column: Column, name: str) -> dict[str, Any]:
    row = column.summary.loc[name]
    numbers = {key: row[key] for key in _SUMMARY if key in row}
    if "less" in row:
        numbers["from_baseline"] = {to: row[key] for key, to in _DIFFERENCE.items()}
    return numbers
