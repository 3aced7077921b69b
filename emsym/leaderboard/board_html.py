"""A leaderboard as a notebook shows it: its conclusions, and a small table."""

from __future__ import annotations

from emsym import wording
from emsym.html_table import html_lines, html_table
from emsym.leaderboard.board import Board
from emsym.leaderboard.render import sentences


def board_html(board: Board) -> str:
    """Return the conclusions and a row for each strategy, the best first, with 95 % intervals."""
    shown = [column for column in board.columns.values() if column.score.glance]
    dice = board.column("dice") if board.baseline is not None else None
    head = ["strategy", *(column.score.title for column in shown)]
    if dice is not None:
        head.append(f"{dice.score.title} − {board.baseline}")
    rows = []
    for name in board.order:
        ranked = name in board.ranked
        row = [name]
        for column in shown:
            text = wording.MISSING
            if ranked:
                mean, low, high = column.summary.loc[name, ["mean", "low", "high"]]
                text = wording.interval(mean, low, high, column.score.digits)
            row.append(text)
        if dice is not None:
            row.append(board.verdict.get(name, wording.MISSING))
        rows.append(row)
    about = [sentences.measured_on(board), *sentences.conclusions(board, str)]
    title = html_lines([f"Leaderboard: {board.title}"])
    return f"{title}{html_table(head, rows)}{html_lines(about)}"
