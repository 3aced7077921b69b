"""All results of an output folder: the records of local runs and the submissions of others."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emsym.errors import UserError
from emsym.images import equalise
from emsym.leaderboard.board import Board
from emsym.leaderboard.render.page import CellExample
from emsym.leaderboard.results import Joined, Results, of_store
from emsym.leaderboard.tiers import in_tiers
from emsym.output_folder import OutputFolder
from emsym.protocol import ships
from emsym.submission.assurance import Assurance
from emsym.submission.read import Submission, read_submissions
from emsym.submission.validate import validate
from emsym.wording import slice_names

Arrays = dict[str, np.ndarray]

PAIRS = 3
"""The most pairs of data set and architecture that examples are shown of."""

STRATEGIES = 5
"""The most strategies that examples are shown of."""


OWN = "emsym"
"""The submission that ships with emsym: no other takes the place of its cells, however named."""


class StoredResults:
    """All results of an output folder: local records, and submissions that are sound.

    Where a cell is there twice, the local one counts, else emsym's own, else the first by name.
    """

    def __init__(self, output: Path) -> None:
        """Read the rows of all cells.

        Raises `UserError` where none is finished, and where a submission is not sound. One of a
        protocol that does not ship with emsym cannot be checked, which is a warning, and so are
        cells whose values differ between submissions.
        """
        self._output = folder = OutputFolder(output)
        submissions = read_submissions(folder.submissions)
        self.submissions = sorted(submissions, key=lambda each: each.name != OWN)
        self.assurance: dict[str, Assurance] = {}
        """The level of assurance of each submission, by its name."""
        for submission in self.submissions:
            if ships(submission.manifest.protocol.name):
                self.assurance[submission.name] = validate(submission.folder).assurance
            else:
                self.assurance[submission.name] = Assurance.SELF_ATTESTED
                warnings.warn(
                    f"The submission {submission.folder} is of a protocol that does not ship with "
                    "emsym: `emsym-bench validate --protocol FILE` checks it.",
                    stacklevel=2,
                )
        _tell_conflicts(self.submissions)
        self.results: Results = Joined([of_store(folder.records), *self.submissions])
        if not (self.results.cells["status"] == "done").any():
            raise UserError(
                f"There are no finished records in {folder.records}, and no submissions in "
                f"{folder.submissions}: make some with `emsym-bench run --all`, or name their "
                "folder with --output, such as `results` of a clone."
            )

    @property
    def credits(self) -> list[tuple[str, str]]:
        """(name, who made it, under which licence, and what is assured) of every submission."""
        return [
            (
                each.name,
                f"{each.sheet.title}. {', '.join(each.sheet.authors)}; {each.sheet.licence}; code: "
                f"{each.sheet.code}; assurance: {self.assurance[each.name]}",
            )
            for each in self.submissions
        ]

    def example(self, key: str) -> Arrays | None:
        """The arrays that were kept of a cell to look at, as `emsym.run.example` saves them."""
        path = self._output.example(key)
        if path.is_file():
            with np.load(path, allow_pickle=False) as kept:
                return dict(kept)
        packed = (submission.example(key) for submission in self.submissions)
        return next((arrays for arrays in packed if arrays is not None), None)


def _tell_conflicts(submissions: Sequence[Submission]) -> None:
    """Warn of cells that several submissions have with other values."""
    seen: dict[str, tuple[str, pd.Series]] = {}
    for submission in submissions:
        cells = submission.cells.set_index("key")[submission.score_names]
        other = [
            key for key in cells.index if key in seen and not cells.loc[key].equals(seen[key][1])
        ]
        if other:
            first = seen[other[0]][0]
            warnings.warn(
                f"{len(other)} cells of the submission '{submission.name}' are in '{first}', too, "
                f"with other values: those of '{first}' count.",
                stacklevel=3,
            )
        for key in cells.index.difference(list(seen)):
            seen[key] = submission.name, cells.loc[key]


def examples(board: Board, find_example: Callable[[str], Arrays | None]) -> list[CellExample]:
    """Return a section of some data sets, with what networks of `STRATEGIES` made of it.

    They are the baseline, and those that a board shows first. Of the lowest seed that was kept,
    over the first pair of each of some data sets; none of data whose card does not let them be
    shown in public.
    """
    names = [name for name in in_tiers(board) if name in board.ranked and name != board.baseline]
    if board.baseline is not None:
        names = [board.baseline, *names]
    pairs = {dataset: (dataset, architecture) for dataset, architecture in reversed(board.pairs)}
    shown = []
    for dataset, architecture in sorted(pairs.values(), key=board.pairs.index)[:PAIRS]:
        cells = board.done.query("dataset == @dataset and architecture == @architecture")
        kept: dict[str, Arrays] = {}
        for name in names[:STRATEGIES]:
            keys = cells[cells["init"] == name].sort_values("seed")["key"]
            arrays = next((each for key in keys if (each := find_example(key)) is not None), None)
            if arrays is None or not arrays.get("may_be_shown", True):
                continue
            if all(_same_section(arrays, each) for each in kept.values()):
                kept[name] = arrays
        if kept:
            modality = cells["modality"].iloc[0]
            shown.append(_example(f"{dataset} ({modality}), {architecture}", kept))
    return shown


def _same_section(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in ("section", "image", "truth"))


def _example(what: str, kept: dict[str, Arrays]) -> CellExample:
    first = next(iter(kept.values()))
    slices = slice_names(len(first["image"]))
    pictures = {name: each / 255 for name, each in zip(slices, first["image"], strict=True)}
    pictures["label"] = first["truth"].astype(float)
    return CellExample(
        f"{what}, section {int(first['section'])}",
        pictures,
        {name: _answer(slices, arrays) for name, arrays in kept.items()},
    )


def _answer(slices: list[str], kept: Arrays) -> dict[str, np.ndarray]:
    maps = equalise(kept["attribution"].astype(float))
    named = {f"|A| {name}": each for name, each in zip(slices, maps, strict=True)}
    return {"probability": kept["probability"] / 255, **named}
