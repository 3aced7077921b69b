"""The verdicts on claims about slice bias, of all that is stored in a folder."""

from pathlib import Path

from emsym.leaderboard.board import boards
from emsym.leaderboard.collection import StoredResults
from emsym.leaderboard.verdicts import Judged, judge_claims, load_claims


def claims(output: Path | str, file: Path | str | None = None) -> dict[str, list[Judged]]:
    """Return the verdicts of each board of an output folder, by the board's title.

    `file` is a TOML file of claims; those that ship with emsym by default. Raises `UserError`
    where there are no finished cells, and for a file that is not valid.
    """
    chosen = load_claims(Path(file) if file else None)
    results = StoredResults(Path(output)).results
    return {
        f"{board.title}, {len(board.done)} cells": judge_claims(board, chosen)
        for board in boards(results)
    }
