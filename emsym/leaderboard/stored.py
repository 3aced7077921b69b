"""What an output folder holds: the records of local runs and the submissions of others, as one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emsym.auditing.pictures import equalise
from emsym.errors import UserError
from emsym.leaderboard.board import Board
from emsym.leaderboard.page import Example
from emsym.leaderboard.results import Joined, Results, of_store
from emsym.leaderboard.submission.read import Submission, read_submissions

Arrays = dict[str, np.ndarray]

PAIRS = 3
"""Of data set and architecture that examples are shown of."""


class Stored:
    """A folder of results; of a cell that is there twice, the local one counts."""

    def __init__(self, output: Path) -> None:
        """Read the rows of all cells. Raises `UserError` where none is finished."""
        self._examples = output / "examples"
        self._submissions: list[Submission] = read_submissions(output / "submissions")
        self.results: Results = Joined([of_store(output / "records"), *self._submissions])
        if not (self.results.cells["status"] == "done").any():
            raise UserError(
                f"There are no finished records in {output / 'records'}, and no submissions in "
                f"{output / 'submissions'}: make some with `emsym-bench run --all`, or name their "
                "folder with --output."
            )

    def example(self, key: str) -> Arrays | None:
        """What was kept of a cell to look at, as `emsym.run.example` gives it."""
        path = self._examples / f"{key}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as kept:
                return dict(kept)
        found = (submission.example(key) for submission in self._submissions)
        return next((arrays for arrays in found if arrays is not None), None)


def examples(board: Board, look: Callable[[str], Arrays | None]) -> list[Example]:
    """Pictures of one section of some cells: the baseline's, and those of the least biased.

    Of the lowest seed that was kept, over the first pair of each of some data sets.
    """
    best = [name for name in board.order if name in board.ranked and name != board.baseline]
    names = [name for name in (board.baseline, *best[:1]) if name is not None]
    pairs = {dataset: (dataset, architecture) for dataset, architecture in reversed(board.pairs)}
    found = []
    for dataset, architecture in sorted(pairs.values(), key=board.pairs.index)[:PAIRS]:
        cells = board.done.query("dataset == @dataset and architecture == @architecture")
        for name in names:
            keys = cells[cells["init"] == name].sort_values("seed")["key"]
            kept = next((arrays for key in keys if (arrays := look(key)) is not None), None)
            if kept is not None:
                found.append(_example(f"{name} on {dataset}, {architecture}", kept))
    return found


def _example(what: str, kept: Arrays) -> Example:
    offsets = range(-(len(kept["image"]) // 2), len(kept["image"]) // 2 + 1)
    slices = [f"z{offset:+d}".replace("-", "−") if offset else "z" for offset in offsets]
    pictures = {name: each / 255 for name, each in zip(slices, kept["image"], strict=True)}
    pictures["label"] = kept["truth"].astype(float)
    pictures["probability"] = kept["probability"] / 255
    maps = equalise(kept["attribution"].astype(float))
    pictures |= {f"|A| {name}": each for name, each in zip(slices, maps, strict=True)}
    section = int(kept["section"])
    return Example(f"{what}: section {section}; |A| histogram-equalised over its slices", pictures)
