"""Where results come from: a row per cell, and what was measured of its sections on request.

So that a hundred thousand cells fit in memory, the values of sections stay where they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from emsym.errors import escape_unseen, one_line
from emsym.run.store.record import Record
from emsym.run.store.store import Store
from emsym.scores.catalogue import score_of

LOCAL = "local"
"""The rows of a local run have this for a submission's name."""

FACTS = [
    *("submission", "key", "status", "error"),
    *("protocol", "version", "digest", "primary", "weights", "identity", "slices"),
    *("scoring_version", "scoring_plugins"),
    *("dataset", "data", "source", "modality", "licence", "citation"),
    *("architecture", "architecture_source", "init", "init_source", "gain", "seed"),
    *("commit", "device", "processor", "minutes", "peak_memory_mb"),
    *("parameters", "passes", "step_ms", "answer_ms"),
]
"""The columns of `cells` that are no scores."""


class Results(Protocol):
    """Cells from somewhere. A key may stand in several submissions: the same cell, run twice."""

    @property
    def cells(self) -> pd.DataFrame:
        """A row per cell: `FACTS`, then every score (float64), NaN where it is missing.

        Failed cells have the status "failed", an error, and no scores.
        """

    def per_image(self, keys: Sequence[str], score: str) -> pd.DataFrame:
        """A score of every test section of these cells: `key`, `section`, `value`."""

    def over_training(self, keys: Sequence[str]) -> pd.DataFrame:
        """Scores while these were trained: `key`, `step`, `score`, `value`, a mean of sections."""


def commit(environment: Mapping[str, object]) -> str | None:
    """The commit that cells were made with, of which ``+dirty`` says that it is not all there was.

    >>> commit({"commit": "4cd5ab3", "dirty": True}), commit({"commit": "4cd5ab3", "dirty": False})
    ('4cd5ab3+dirty', '4cd5ab3')
    """
    revision = environment.get("commit")
    if not revision:
        return None
    return f"{revision}+dirty" if environment.get("dirty") else str(revision)


def row(record: Record, submission: str = LOCAL) -> dict[str, Any]:
    """A record's row of `cells`."""
    machine = record.environment
    error = None if record.error is None else one_line(record.error)
    facts = {
        "submission": submission,
        "key": record.key,
        "status": record.status,
        "error": error,
        "protocol": record.protocol.name,
        "version": record.protocol.version,
        "digest": record.protocol.digest,
        "primary": record.protocol.primary,
        "weights": record.weights.origin,
        "identity": record.weights.identity,
        "slices": record.slices,
        "scoring_version": record.scoring_version,
        "scoring_plugins": "; ".join(
            f"{name} {source[:6]}" for name, source in record.scoring_sources.items()
        ),
        "dataset": record.dataset.name,
        "data": record.dataset.digest,
        "source": record.dataset.source,
        "modality": record.dataset.modality,
        "licence": record.dataset.licence,
        "citation": record.dataset.citation,
        "architecture": record.architecture,
        "architecture_source": record.architecture_source,
        "init": record.init,
        "init_source": record.init_source,
        "gain": record.gain,
        "seed": record.seed,
        "commit": commit(machine),
        "device": machine.get("device"),
        "processor": machine.get("processor"),
        "minutes": sum(record.seconds.values()) / 60,
        "peak_memory_mb": record.peak_memory_mb,
        **(record.cost.model_dump() if record.cost else {}),
    }
    # whatever shows them, nothing in them steers a terminal or a spreadsheet
    texts = {name: escape_unseen(fact) for name, fact in facts.items() if isinstance(fact, str)}
    return {**facts, **texts, **record.scores}


def cell_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a DataFrame with all of `FACTS`, and scores as floats."""
    table = pd.DataFrame(list(rows))
    scores = [name for name in table if name not in FACTS]
    return table.reindex(columns=FACTS).join(table[scores].astype(float))


class Recorded:
    """The results of records, which are read again when their sections are asked for."""

    def __init__(self, records: Iterable[Record], load: Callable[[str], Record | None]) -> None:
        """`records` are gone through once, and `load` finds the one of a key."""
        self.cells = cell_table(row(record) for record in records)
        self._load = load

    def per_image(self, keys: Sequence[str], score: str) -> pd.DataFrame:
        """As `Results`."""
        return _per_image(((key, self._load(key)) for key in keys), score)

    def over_training(self, keys: Sequence[str]) -> pd.DataFrame:
        """As `Results`."""
        return _over_training((key, self._load(key)) for key in keys)


def of_records(records: Iterable[Record]) -> Recorded:
    """The results of records that are in memory."""
    by_key = {record.key: record for record in records}
    return Recorded(by_key.values(), by_key.get)


def of_store(folder: Path) -> Recorded:
    """The results of a local run's folder of records, of which one at a time is in memory."""
    store = Store(folder)
    return Recorded(store.records(), store.load)


class Joined:
    """Several results as one. What is asked of a key is asked of the first that has it."""

    def __init__(self, sources: Sequence[Results]) -> None:
        """The rows of all sources, in this order."""
        self._sources = [(source, set(source.cells["key"])) for source in sources]
        frames = [source.cells for source in sources if len(source.cells)]
        self.cells = pd.concat(frames, ignore_index=True) if frames else cell_table([])

    def per_image(self, keys: Sequence[str], score: str) -> pd.DataFrame:
        """As `Results`."""
        parts = [source.per_image(asked, score) for source, asked in self._asked(keys)]
        return pd.concat(parts, ignore_index=True) if parts else _per_image([], score)

    def over_training(self, keys: Sequence[str]) -> pd.DataFrame:
        """As `Results`."""
        parts = [source.over_training(asked) for source, asked in self._asked(keys)]
        return pd.concat(parts, ignore_index=True) if parts else _over_training([])

    def _asked(self, keys: Sequence[str]) -> list[tuple[Results, list[str]]]:
        left = list(dict.fromkeys(keys))
        asked = []
        for source, has in self._sources:
            if theirs := [key for key in left if key in has]:
                asked.append((source, theirs))
                left = [key for key in left if key not in has]
        return asked


def section_values(results: Results, keys: Sequence[str], key: str) -> pd.DataFrame:
    """Return by how much each section moves its cell's score: `key`, `section`, `value`.

    A section's own score, where the cell's is their mean. Where it comes of the pixels of all
    sections together, which it does for Dice and IoU, those that a section adds to numerator and
    denominator: to first order they move the ratio r by (n − r d) over the mean of d.
    """
    score, (_, _, threshold) = score_of(key), key.partition("@")
    if score.pooling != "counts":
        return results.per_image(keys, key)
    names = [f"{name}@{threshold}" for name in ("tp", "fp", "fn")]
    parts = [results.per_image(keys, name).set_index(["key", "section"])["value"] for name in names]
    counts = pd.concat(parts, axis=1, keys=["tp", "fp", "fn"])
    if not len(counts):  # of an older record
        return results.per_image(keys, key)
    weight = 2 if score.name == "dice" else 1
    above = weight * counts["tp"]
    below = above + counts["fp"] + counts["fn"]
    cell = below.groupby(level="key")
    ratio = above.groupby(level="key").transform("sum") / cell.transform("sum")
    moved = (above - ratio * below) / cell.transform("mean")
    return moved.rename("value").reset_index()


def _per_image(records: Iterable[tuple[str, Record | None]], score: str) -> pd.DataFrame:
    parts: list[tuple[str, list, list]] = []
    for key, record in records:
        if record is not None and score in record.images and "section" in record.images:
            parts.append((key, record.images["section"], record.images[score]))
    return pd.DataFrame(
        {
            "key": np.repeat([key for key, _, _ in parts], [len(s) for _, s, _ in parts])
            if parts
            else pd.Series([], dtype=str),
            "section": np.array([s for _, each, _ in parts for s in each], int),
            "value": np.array([v for _, _, each in parts for v in each], float),
        }
    )


def _over_training(records: Iterable[tuple[str, Record | None]]) -> pd.DataFrame:
    rows = [
        (key, step, score, float(np.nanmean(known)) if known else np.nan)
        for key, record in records
        if record is not None and record.over_training is not None
        for score, looks in record.over_training.images.items()
        for step, column in zip(record.over_training.steps, looks, strict=True)
        for known in [[value for value in column if value is not None]]
    ]
    return pd.DataFrame(rows, columns=["key", "step", "score", "value"])


def score_names(cells: pd.DataFrame) -> list[str]:
    """The columns of `Results.cells` that are scores."""
    return [name for name in cells if name not in FACTS]
