"""A submission as `Results`: its table is read whole, values of sections when they are asked for.

Reading checks what lies in one file; what several say together is checked by `validate`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from emsym.errors import UserError, first_names
from emsym.files import read_toml, validation_message
from emsym.leaderboard.results import FACTS, commit
from emsym.submission import layout
from emsym.submission.cells_csv import read_rows
from emsym.submission.safe_npz import Arrays
from emsym.submission.schema import COST, Manifest, Row, Sheet

IMAGES, LOOKS = "images/", "over_training/"
"""The beginnings of arrays' names: values of test sections, and of looks while training."""
SHARED, OWN = ("image", "truth", "section"), ("probability", "attribution")
"""The arrays of an example: those that all networks of a data set share, and each one's own."""


class Submission:
    """The results in a submission's folder. See `emsym.leaderboard.results.Results`."""

    def __init__(self, folder: Path) -> None:
        """Read all but the values of sections.

        Raises `UserError`, naming the file, where one is not as it should be.
        """
        self.folder = folder
        self.files = layout.files(folder)
        self.sheet = _sheet(self.files[layout.SHEET])
        self.manifest = _manifest(self.files[layout.MANIFEST])
        self.rows, self.score_names, self.scores = read_rows(self.files[layout.CELLS])
        self._check_references()

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @cached_property
    def cells(self) -> pd.DataFrame:
        """As `Results`; a cell that is marked missing has no row."""
        there = [i for i, row in enumerate(self.rows) if row.status != "missing"]
        facts = pd.DataFrame([self._facts(self.rows[i]) for i in there], columns=FACTS)
        scores = pd.DataFrame(self.scores[there], columns=self.score_names)
        return pd.concat([facts, scores], axis=1)

    def per_image(self, keys: Sequence[str], score: str) -> pd.DataFrame:
        """As `Results`; also of the counts ``tp@t``, ``fp@t`` and ``fn@t``."""
        parts = []
        for group, rows in self._groups(keys):
            if f"{IMAGES}{score}" in group.names:
                values = group.get(f"{IMAGES}{score}", "<f4", None, None)
                section = group.get("section", "<i4", values.shape[1])
                theirs, places = zip(*rows, strict=True)
                columns = {
                    "key": np.repeat(np.array(theirs, object), len(section)),
                    "section": np.tile(section, len(rows)),
                    "value": values[list(places)].astype(float).ravel(),
                }
                parts.append(pd.DataFrame(columns))
        empty = {"key": [], "section": np.array([], int), "value": np.array([], float)}
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(empty)

    def over_training(self, keys: Sequence[str]) -> pd.DataFrame:
        """As `Results`."""
        looks = []
        for group, rows in self._groups(keys):
            if f"{LOOKS}steps" not in group.names:
                continue
            steps = group.get(f"{LOOKS}steps", "<i4", None)
            for name in group.names:
                score = name.removeprefix(LOOKS)
                if score == name or score in ("steps", "sections"):
                    continue
                values = group.get(name, "<f4", None, len(steps), None).astype(float)
                known = (~np.isnan(values)).sum(2)
                means = np.full(known.shape, np.nan)
                np.divide(np.nansum(values, 2), known, out=means, where=known > 0)
                looks += [
                    (key, int(step), score, mean)
                    for key, at in rows
                    for step, mean in zip(steps, means[at], strict=True)
                ]
        return pd.DataFrame(looks, columns=["key", "step", "score", "value"])

    def example(self, key: str) -> dict[str, np.ndarray] | None:
        """One test section of a cell as `emsym.run.example` keeps it, where it was packed."""
        row = self._by_key.get(key)
        name = row and layout.group_file("examples", row.dataset, row.architecture)
        return self.examples(name).get(key) if name in self.files else None

    def examples(self, name: str) -> dict[str, dict[str, np.ndarray]]:
        """All that are in a file of them, by the keys of their cells."""
        arrays = Arrays(self.files[name])
        if odd := sorted(set(arrays.names).difference(("keys", *SHARED, *OWN))):
            raise UserError(f"{arrays.path} has no use for {first_names(odd)}.")
        slices, keys = self.manifest.slices, arrays.keys()
        image = arrays.get("image", "|u1", slices, None, None)
        size = image.shape[1:]
        shared = {
            "image": image,
            "truth": arrays.get("truth", "|u1", *size),
            "section": arrays.get("section", "<i4"),
        }
        probability = arrays.get("probability", "|u1", len(keys), *size)
        attribution = arrays.get("attribution", "|u1", len(keys), slices, *size)
        return {
            key: {**shared, "probability": probability[at], "attribution": attribution[at]}
            for at, key in enumerate(keys)
        }

    def plugins(self) -> list[Path]:
        """The plug-in files that came with it. Whoever runs one should have read it."""
        return [path for name, path in self.files.items() if name.startswith("plugins/")]

    def group(self, dataset: str, architecture: str) -> Arrays:
        """The values of all done cells of a data set and an architecture.

        Raises `UserError` where there is no such file.
        """
        name = layout.group_file("images", dataset, architecture)
        if name not in self.files:
            raise UserError(f"{self.folder / name} is missing, of which {layout.CELLS} has cells.")
        return Arrays(self.files[name])

    def _groups(self, keys: Sequence[str]) -> Iterator[tuple[Arrays, list[tuple[str, int]]]]:
        """The files that hold these keys, each with the places of its keys."""
        asked: dict[tuple[str, str], list[str]] = defaultdict(list)
        rows = self._by_key
        for key in dict.fromkeys(keys):
            if (row := rows.get(key)) is not None and row.status == "done":
                asked[row.dataset, row.architecture].append(key)
        for (dataset, architecture), theirs in asked.items():
            group = self.group(dataset, architecture)
            listed = group.keys()
            places = {key: at for at, key in enumerate(listed)}
            if missing := [key for key in theirs if key not in places]:
                raise UserError(f"{group.path} has no values of the cell {missing[0]}.")
            yield group, [(key, places[key]) for key in theirs]

    @cached_property
    def _by_key(self) -> dict[str, Row]:
        return {row.key: row for row in self.rows if row.key is not None}

    def _facts(self, row: Row) -> dict[str, object]:
        shared, data = self.manifest, self.manifest.datasets[row.dataset]
        machine = shared.environments[row.environment or 0]
        return {
            "submission": self.name,
            "key": row.key,
            "status": row.status,
            "error": row.error,
            "protocol": shared.protocol.name,
            "version": shared.protocol.version,
            "digest": shared.protocol.digest,
            "primary": shared.protocol.primary,
            "weights": shared.weights.origin,
            "identity": shared.weights.of(row.architecture),
            "slices": shared.slices,
            "scoring_version": shared.scoring_version,
            "scoring_plugins": "; ".join(
                f"{name} {source[:6]}" for name, source in shared.scoring_sources.items()
            ),
            "dataset": row.dataset,
            "data": data.digest,
            "source": data.source,
            "modality": data.modality,
            "licence": data.licence,
            "citation": data.citation,
            "architecture": row.architecture,
            "architecture_source": row.architecture_source,
            "init": row.init,
            "init_source": row.init_source,
            "gain": row.gain,
            "seed": row.seed,
            "commit": commit(machine),
            "device": machine.get("device"),
            "processor": machine.get("processor"),
            "minutes": (row.seconds or 0.0) / 60,
            "peak_memory_mb": row.peak_memory_mb,
            **{name: getattr(row, name) for name in COST},
        }

    def _check_references(self) -> None:
        """Raise `UserError` for rows that the manifest does not explain or that are there twice."""
        path, cells, keys = self.files[layout.CELLS], set(), set()
        for row in self.rows:
            where = f"{row.dataset} · {row.architecture} · {row.init} · seed {row.seed}"
            if (cell := (row.dataset, row.architecture, row.init, row.seed)) in cells:
                raise UserError(f"{path}: the cell {where} is there twice.")
            if row.key is not None and row.key in keys:
                raise UserError(f"{path}: the key {row.key} is there twice.")
            if row.status != "missing" and row.dataset not in self.manifest.datasets:
                raise UserError(f"{path}: the data set '{row.dataset}' is not in the manifest.")
            if row.status != "missing" and self.manifest.weights.of(row.architecture) is None:
                raise UserError(f"{path}: the weights of {where} are not in the manifest.")
            if (row.environment or 0) >= len(self.manifest.environments):
                raise UserError(f"{path}: {where} has an environment that is not in the manifest.")
            cells.add(cell)
            keys.add(row.key)


def read_submissions(folder: Path) -> list[Submission]:
    """All submissions in a folder such as ``results/submissions``, in the order of their names.

    Raises `UserError`, naming the file, where one is not as it should be.
    """
    if not folder.is_dir():
        return []
    folders = (path for path in sorted(folder.iterdir()) if path.is_dir() or path.is_symlink())
    return [
        Submission(path.with_name(layout.check_name(path.name)))
        for path in folders
        if not path.name.startswith(".")  # what an interrupted `submit` left
    ]


def _sheet(path: Path) -> Sheet:
    try:
        return read_toml(path, Sheet)
    except UserError as error:  # it may tell what a stranger wrote, whatever that is
        message = str(error).removeprefix(f"{path}").lstrip(": ")
        raise UserError(f"{path}: {_tidy(message)}") from error


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path}: {_tidy(validation_message(error))}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _tidy(text: str) -> str:
    return first_names([re.sub(r"\s+", " ", text)])
