"""Which rows may stand side by side, and which scores are shown of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from emsym.leaderboard.estimates import PAIR
from emsym.models.pretrained.chosen_weights import has_file_per_encoder
from emsym.protocol import SHAPLEY
from emsym.scores.catalogue import is_optional, score_of
from emsym.scores.score import Score

BOARD = ["protocol", "weights"]
"""A leaderboard is of a protocol, and the pretrained weights that its networks start from: those of
one `shared_identity`."""

VERSION = ["version", "digest", "slices", "scoring_version", "scoring_plugins"]
"""Its rows must share these beside, or they stand apart."""

SOURCES = {
    "dataset": ["data"],
    "architecture": ["architecture_source", "identity"],
    "init": ["init_source"],
}
"""The digests of what a name stood for when its cell was run; an architecture has its weights."""

CELL = [*PAIR, "init", "seed"]


HEADLINE = (
    *("model_asymmetry", "dice", "flip_error", "iou", "arand_2d", "arand_3d"),
    *("neighbour_asymmetry", "imbalance", "faithfulness-estimate"),
)
"""The scores that a leaderboard shows, in order; optional ones follow."""

EXACT = replace(
    score_of("model_asymmetry"),
    title="exact asym.",
    long_title="model asymmetry by exact Shapley values",
    meaning="the model asymmetry of exact Shapley values: what each slice brings to the answer, "
    "where saliency says what the filters would do with a small change of it.",
)
"""The first score by another method, which stands beside it: the headline depends on the method."""


def shown_scores(
    prefix: str, threshold: str, known: Iterable[str], primary: str | None = None
) -> dict[str, Score]:
    """Return the scores that are shown, by their keys: of those that are `known`.

    They are of one ``attribution/target``, `prefix`, and of the headline's threshold. The first is
    the `primary` one, where a protocol names it.
    """
    attribution, _, target = prefix.rpartition("/")
    where = {"attribution": attribution, "map": attribution, "target": target}
    lead, *others = (score_of(name).key.format(threshold=threshold, **where) for name in HEADLINE)
    exact = f"{SHAPLEY}/{target}/{EXACT.name}"
    there = dict.fromkeys(known)
    plugins = sorted(key for key in there if is_optional(key))
    keys = dict.fromkeys((primary or lead, lead, exact, *others, *plugins))
    return {key: EXACT if key == exact != lead else score_of(key) for key in keys if key in there}


@dataclass(frozen=True)
class Field:
    """The cells that compete on one leaderboard, and those of its protocol that may not."""

    cells: pd.DataFrame
    """Done or failed, each once."""
    apart: pd.DataFrame
    """`submission`, `init`, `cells`, `reason`: rows of cells that stand apart."""


def fields(cells: pd.DataFrame) -> list[Field]:
    """The leaderboards that there are cells of: one for each protocol and weights.

    Of a protocol's versions the newest competes; of several digests or scorings of it, the one with
    the most cells. A cell that several submissions have counts once, as it is in the first.
    """
    if not len(cells):
        return []
    cells = cells.assign(scoring_plugins=cells["scoring_plugins"].fillna(""))
    boards = cells.groupby([*BOARD, shared_identity(cells)], sort=True)
    made = [_field(part) for _, part in boards]
    return [field for field in made if (field.cells["status"] == "done").any()]


def shared_identity(cells: pd.DataFrame) -> pd.Series:
    """Return the identity of the weights of all cells of a board, for each cell.

    Where each encoder has a file of its own, it is the name of them all: that of a folder, or
    ``imagenet``.
    """
    own = cells["weights"].map(has_file_per_encoder).astype(bool)
    return cells["identity"].mask(own, cells["weights"])


def _field(cells: pd.DataFrame) -> Field:
    done = cells[cells["status"] == "done"]
    if not len(done):
        return Field(cells, _apart([]))
    versions = done.groupby(VERSION, sort=False).size().reset_index(name="count")
    order = versions["version"].map(_natural)
    best = max(versions.index, key=lambda row: (order[row], versions.loc[row, "count"], -row))
    chosen = versions.loc[best, VERSION]
    same = (cells[VERSION] == chosen).all(axis=1)
    left = []
    for _, part in cells[~same].groupby(VERSION, sort=False):
        left.append((part, _reason(part.iloc[0], chosen)))
    ours = mark_changed_sources(cells[same])
    # a cell that is done comes before one that failed, whoever ran it
    ours = ours.sort_values("status", key=lambda each: each != "done", kind="stable")
    again = ours.duplicated(CELL)
    if again.any():
        first = ours[~again].set_index(CELL)["submission"]
        owners = first.reindex(pd.MultiIndex.from_frame(ours.loc[again, CELL])).to_numpy()
        for owner, part in ours[again].groupby(owners, sort=False):
            left.append((part, f"the same cells as in {owner}, where they count"))
    return Field(ours[~again].sort_values(CELL, kind="stable"), _apart(left))


def _natural(version: str) -> list[tuple[int, int | str]]:
    """So that version 10 is newer than version 9."""
    parts = re.split(r"(\d+)", str(version))
    return [(1, int(part)) if part.isdigit() else (0, part) for part in parts if part]


def _reason(row: pd.Series, chosen: pd.Series) -> str:
    if row["version"] != chosen["version"]:
        return f"version {row['version']} of the protocol, not {chosen['version']}"
    if row["digest"] != chosen["digest"]:
        return f"another text of version {row['version']}, digest {str(row['digest'])[:8]}"
    if row["scoring_version"] != chosen["scoring_version"]:
        return f"scored by version {row['scoring_version']}, not {chosen['scoring_version']}"
    if row["slices"] != chosen["slices"]:
        return f"stacks of {row['slices']} slices, not {chosen['slices']}"
    return f"scored with other plug-ins: {row['scoring_plugins'] or 'none'}"


def _apart(left: list[tuple[pd.DataFrame, str]]) -> pd.DataFrame:
    rows = [
        (submission, init, len(part), reason)
        for cells, reason in left
        for (submission, init), part in cells.groupby(["submission", "init"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["submission", "init", "cells", "reason"])


def mark_changed_sources(cells: pd.DataFrame) -> pd.DataFrame:
    """With a digest's beginning in the names that have stood for several things.

    So cells from before and after a change of a plug-in, a card or weights are never averaged.
    """
    changed = {name: cells[name] for name in SOURCES}
    for name, sources in SOURCES.items():
        for source in sources:
            several = cells.groupby(name)[source].transform("nunique", dropna=False) > 1
            marked = changed[name] + " #" + cells[source].fillna("emsym").map(_mark)
            changed[name] = changed[name].where(~several, marked)
    return cells.assign(**changed)


def _mark(source: str) -> str:
    """Return a digest's beginning; a name stays whole.

    >>> _mark("sha256:0123456789"), _mark("imagenet")
    ('012345', 'imagenet')
    """
    digest = str(source).removeprefix("sha256:")
    return digest[:6] if digest != source or len(digest) == 64 else digest


def largest_complete(has: pd.DataFrame) -> pd.DataFrame:
    """The rows and columns of a Boolean table that make its largest part without a gap.

    Rows are taken in the order of how much they have, so it is the largest of those; of equal ones
    that with more rows. So one row that lacks much does not take from all others what they share.

    >>> table = pd.DataFrame([[1, 1, 1], [1, 1, 0], [0, 0, 1]], list("abc"), list("xyz")) == 1
    >>> complete = largest_complete(table)
    >>> list(complete.index), list(complete.columns)
    (['a', 'b'], ['x', 'y'])
    """
    order = np.argsort(-has.sum(axis=1).to_numpy(), kind="stable")
    together = np.logical_and.accumulate(has.to_numpy()[order], axis=0)
    areas = together.sum(1) * np.arange(1, len(order) + 1)
    if not len(areas) or not areas.max():
        return has.iloc[:0, :0]
    count = len(areas) - int(np.argmax(areas[::-1]))
    rows = np.sort(order[:count])
    return has.iloc[rows, np.flatnonzero(together[count - 1])]
