"""Records → one row per data set, architecture and init strategy: mean ± sd over seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from emsym.run.record import Record

GROUP = ["dataset", "architecture"]
BOARD = [
    "protocol",
    "version",
    "digest",
    "weights",
    "weights_identity",
    "slices",
    "scoring_version",
    "scoring_plugins",
]
"""What rows must share to stand on one leaderboard."""

SOURCES = {"dataset": "data", "architecture": "architecture_source", "init": "init_source"}
"""The digests of what a name stood for when its cell was run."""

FACTS = [*BOARD, *SOURCES, *SOURCES.values(), "licence", "citation", "seed"]
"""The columns that are no scores."""


@dataclass(frozen=True)
class Score:
    """A column of the leaderboard: a record's score, what it is called and which way is better."""

    key: str
    title: str
    better: Literal["high", "low", "zero", None]
    digits: int = 3
    glance: bool = False
    """Whether it is among the few that a narrow terminal and the picture show."""

    def best(self, values: pd.Series) -> pd.Series:
        """Which of two or more means are the best, as they are printed: ties all are. Bool."""
        shown = values.round(self.digits)
        if self.better is None or len(shown) < 2:
            return pd.Series(False, index=shown.index)
        return shown == (shown.max() if self.better == "high" else shown.min())


def headline(prefix: str, threshold: float) -> list[Score]:
    """The columns that are shown, for one ``attribution/target`` and the headline threshold."""
    return [
        Score(f"dice@{threshold}", "Dice ↑", "high", glance=True),
        Score(f"iou@{threshold}", "IoU ↑", "high"),
        Score("arand_2d", "ARAND 2D ↓", "low"),
        Score("arand_3d", "ARAND 3D ↓", "low"),
        Score(f"{prefix}/abs_model_asymmetry", "model asym. ↓", "low", glance=True),
        Score(f"{prefix}/neighbour_asymmetry", "neighbour asym.", None),
        Score("flip_error", "flip error ↓", "low", 4, glance=True),
        Score(f"{prefix}/imbalance", "imbalance", None),
        Score(f"{prefix}/faithfulness-estimate", "faithfulness ↑", "high", 2),
    ]


def cells(records: Iterable[Record]) -> pd.DataFrame:
    """One row per finished record: what it is, and every score of the cell.

    The sign of a model asymmetry is a fact of the weights (which colour is stronger), so seeds
    are averaged over its size: `abs_model_asymmetry` is |mean over images| of one cell.
    """
    rows = []
    for record in records:
        if record.status != "done":
            continue
        scores = dict(record.scores)
        for name in list(scores):
            value = scores[name]
            if name.endswith("/model_asymmetry"):
                target = name.removesuffix("model_asymmetry")
                scores[f"{target}abs_model_asymmetry"] = None if value is None else abs(value)
        rows.append(
            {
                "protocol": record.protocol.name,
                "version": record.protocol.version,
                "digest": record.protocol.digest,
                "weights": record.weights.origin,
                "weights_identity": record.weights.identity,
                "slices": record.slices,
                "scoring_version": record.scoring_version,
                "scoring_plugins": "; ".join(
                    f"{name} {source[:6]}" for name, source in record.scoring_sources.items()
                ),
                "dataset": record.dataset.name,
                "data": record.dataset.digest,
                "licence": record.dataset.licence,
                "citation": record.dataset.citation,
                "architecture": record.architecture,
                "architecture_source": record.architecture_source,
                "init": record.init,
                "init_source": record.init_source,
                "seed": record.seed,
                **scores,
            }
        )
    table = pd.DataFrame(rows)
    for name, source in SOURCES.items() if rows else ():
        table[name] = _told_apart(table, name, source)
    return table


def _told_apart(table: pd.DataFrame, name: str, source: str) -> pd.Series:
    """The names, with the digest's beginning where one name has stood for several things.

    So cells from before and after a change of a plug-in or a card are never averaged.
    """
    several = table.groupby([*BOARD, name])[source].transform("nunique", dropna=False) > 1
    marked = table[name] + " #" + table[source].fillna("emsym").str[:6]
    return table[name].where(~several, marked)


def aggregate(cells: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean, sd and number of the cells of each row: columns (score, "mean" | "sd" | "n").

    The sd is the sample's (n − 1), missing for a single cell. Rows keep the order in which they
    first appear.
    """
    scores = [column for column in cells.columns if column not in FACTS]
    numbers = cells[by].join(cells[scores].astype(float))
    table = numbers.groupby(by, sort=False)[scores].agg(["mean", "std", "count"])
    return table.rename(columns={"std": "sd", "count": "n"}, level=1)


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """Like `aggregate` by init strategy, over the data sets and architectures that all share.

    The sd is over these pairs (each averaged over its seeds), not over seeds; n is their number.
    """
    means = aggregate(cells, [*GROUP, "init"]).xs("mean", axis=1, level=1).reset_index()
    inits = means["init"].nunique()
    shared = means.groupby(GROUP)["init"].transform("nunique") == inits
    return aggregate(means[shared], ["init"])
