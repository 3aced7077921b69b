"""Scores of the cells that all ranked strategies of a leaderboard share."""

import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import UNIT, Estimates, estimate_means
from emsym.protocol import SHAPLEY


def methods(board: Board) -> dict[str, str]:
    """Return the beginnings of keys of the headline's method and of exact values, by their names.

    The second is there where cells have exact values.
    """
    method, _, target = board.headline.rpartition("/")
    exact = f"{SHAPLEY}/{target}"
    there = f"{exact}/model_asymmetry" in board.done
    return {method: board.headline, **({"exact values": exact} if there else {})}


def shared_cells(board: Board, key: str) -> pd.DataFrame:
    """Return a score of the shared cells: index `UNIT`, a column per ranked strategy."""
    column = board.columns.get(key)
    return _shared(board, board.cell_values(key) if column is None else column.cells)


def shared_sections(board: Board, key: str) -> pd.DataFrame | None:
    """Return by how much sections move it, as `estimate_means` takes it; None where unknown."""
    if (column := board.columns.get(key)) is not None:
        sections = column.sections
    else:
        sections = board.sections(board.entered_cells(), key) if board.by_sections else None
    return None if sections is None else _shared(board, sections)


def measured_sections(board: Board, key: str) -> pd.DataFrame:
    """Return a score of each section of the shared cells: index (*`UNIT`, "section")."""
    return _shared(board, board.measured_sections(key))


def signed_estimates(board: Board, key: str) -> Estimates:
    """Return the means of a score of the shared cells, with its sign."""
    return estimate_means(
        shared_cells(board, key),
        shared_sections(board, key),
        block=int(board.first["slices"]),
    )


def estimates_of_sections(sections: pd.DataFrame, block: int) -> Estimates:
    """Return the means of what was measured of sections, each cell being its sections' mean."""
    cells = sections.groupby(level=UNIT, sort=False).mean()
    return estimate_means(cells, sections, block=block)


def _shared(board: Board, table: pd.DataFrame) -> pd.DataFrame:
    pairs = pd.MultiIndex.from_arrays([table.index.get_level_values(name) for name in UNIT[:2]])
    return table.loc[pairs.isin(board.shared), board.ranked]
