"""All reports that the cells of leaderboards allow: what is there decides, and no name."""

from collections.abc import Sequence
from functools import lru_cache

from emsym.leaderboard.board import Board
from emsym.leaderboard.experiments.colour_or_place import colour_or_place
from emsym.leaderboard.experiments.families import families
from emsym.leaderboard.experiments.long_training import long_training
from emsym.leaderboard.experiments.missing_sections import missing_sections
from emsym.leaderboard.experiments.nearest_neighbours import nearest_neighbours
from emsym.leaderboard.experiments.report import Report
from emsym.leaderboard.experiments.stem_prediction import stem_prediction
from emsym.leaderboard.experiments.varied import varied


def reports(boards: Sequence[Board]) -> list[Report]:
    """Return the reports of leaderboards, those of several with the last of them."""
    return list(_reports(tuple(boards)))


@lru_cache(maxsize=1)  # terminal, Markdown and page show those of the same leaderboards
def _reports(boards: tuple[Board, ...]) -> tuple[Report, ...]:
    ranked = [board for board in boards if board.ranked]
    made = [
        experiment(board)
        for board in ranked
        for experiment in (colour_or_place, long_training, missing_sections)
    ]
    for family in families(ranked):
        if family.strategies:
            made += [nearest_neighbours(family, stem_prediction), varied(family)]
    return tuple(report for report in made if report is not None)
