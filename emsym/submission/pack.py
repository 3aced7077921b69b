"""From a store of records to a submission's folder."""

import hashlib
import json
import re
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from emsym.errors import UserError
from emsym.files import validation_message, write_atomically
from emsym.models.pretrained.chosen_weights import has_file_per_encoder
from emsym.output_folder import OutputFolder
from emsym.protocol import Cell, Protocol, dataset_name
from emsym.run.store.record import Column, Record, WeightsStamp
from emsym.run.store.store import Store
from emsym.submission import layout
from emsym.submission.cells_csv import write_rows
from emsym.submission.read import IMAGES, LOOKS, OWN, SHARED
from emsym.submission.safe_npz import Arrays, packed
from emsym.submission.schema import DataSchema, Manifest, Row, Stamp, Weights
from emsym.version import SCORING_VERSION

SHEET = """\
# Who made this, in your own words. `emsym-bench validate` says what is missing; a note need not be.
title = ""
authors = [""]
contact = ""  # an e-mail address or a page
code = ""     # https://…, where the code lies that the cells were run with
licence = "CC-BY-4.0"
note = ""
"""


def pack(store: Path, protocol: Protocol, folder: Path, plugins: Sequence[Path] = ()) -> Manifest:
    """Write a submission of a run's cells of a protocol into `folder`; returns its manifest.

    `store` is the folder that ``run --output`` named: its ``records`` are packed, and of the lowest
    seed its ``examples``. A ``submission.toml`` that is there stays, and so do the plug-ins that
    the cells were run with; all else is made anew, and the same store gives the same bytes.
    `plugins` are copied; of a cell that was run with several versions of one, the record that was
    made with these counts. A plug-in that is not packed is a warning.

    Raises `UserError` where the store has no done cell of the protocol or a cell twice, for a
    plug-in that no cell was run with, and for a folder with a submission of another protocol.
    """
    layout.check_name(folder.name)
    if (other := _protocol_of(folder)) not in (None, protocol.name):
        raise UserError(
            f"{folder} holds cells of the protocol '{other}', which those of '{protocol.name}' "
            "would replace: give these another --name."
        )
    packing = _Packing(protocol, {_sha256(path.read_bytes()) for path in plugins})
    output = OutputFolder(store)
    for record in Store(output.records).records():
        if record.protocol.name == protocol.name and record.protocol.digest == protocol.digest:
            packing.add(record)
    if not packing.groups:
        raise UserError(
            f"There are no finished records of the protocol '{protocol.name}', version "
            f"{protocol.version}, in {output.records}: make some with `emsym-bench run`, or "
            "name another --output or --protocol."
        )
    contents = packing.contents()
    contents |= _plugins(packing.sources(), plugins, folder / "plugins")
    kept = set()
    for at, keys in packing.shown().items():
        if not all(_may_be_shown(path) for key in keys if (path := output.example(key)).is_file()):
            kept.add(at[0])
        elif example := _examples(output, keys, protocol.slices):
            contents[layout.group_file("examples", *at)] = example
    if kept:
        warnings.warn(
            f"No pictures of {', '.join(sorted(kept))} are packed: a card without "
            "`share_pictures = true` does not let them be shown in public.",
            stacklevel=2,
        )
    sheet = folder / layout.SHEET
    contents[layout.SHEET] = sheet.read_bytes() if sheet.is_file() else SHEET.encode()
    _replace(folder, contents)
    return packing.manifest


def _protocol_of(folder: Path) -> str | None:
    """Return the protocol of the submission that is there; None where none is that can be read."""
    try:
        return Manifest.model_validate_json((folder / layout.MANIFEST).read_bytes()).protocol.name
    except (OSError, ValueError):
        return None


class _Packing:
    """The facts that records share, and those gathered of them one by one."""

    def __init__(self, protocol: Protocol, given: set[str]) -> None:
        self._given = given
        self.groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
        self.manifest: Manifest
        self._protocol = protocol
        self._shared: dict[str, Any] = {}
        self._datasets: dict[str, DataSchema] = {}
        self._environments: dict[str, int] = {}
        self._weights: dict[str, str] = {}
        self._rows: dict[Cell, tuple[Row, dict[str, float | None]]] = {}

    def add(self, record: Record) -> None:
        cell = Cell(record.dataset.name, record.architecture, record.init, record.seed)
        if record.scoring_version != SCORING_VERSION:
            return  # left from an earlier version; the cell counts as missing until it is run again
        if cell in self._rows:
            if not self._replaces(record, self._rows[cell][0]):
                return
            self.groups[cell.dataset, cell.architecture].discard(record)
        self._share("slices", record.slices, cell)
        self._share_weights(record.weights, cell)
        self._share("scoring_sources", record.scoring_sources, cell)
        data = DataSchema.model_validate(record.dataset.model_dump(exclude={"name"}))
        if self._datasets.setdefault(cell.dataset, data).digest != data.digest:
            raise UserError(f"The store has cells of two versions of '{cell.dataset}', as {cell}.")
        done = record.status == "done"
        if done:
            counted = f"tp@{self._protocol.scoring.thresholds[0]}"
            if counted not in record.images:
                raise UserError(
                    f"The record {record.key} of {cell} was made before pixels were counted for "
                    "each image: run its cell again into another --output."
                )
            self.groups[cell.dataset, cell.architecture].add(record)
        self._rows[cell] = self._row(record), record.scores if done else {}

    def _replaces(self, record: Record, row: Row) -> bool:
        """Which of two records of a cell is meant is told by the plug-ins that were given."""
        old, new = (
            bool({each.init_source, each.architecture_source} & self._given)
            for each in (row, record)
        )
        if old == new:
            raise UserError(
                f"The store has two records of {row.dataset} · {row.architecture} · {row.init} · "
                f"seed {row.seed}, {row.key}.json and {record.key}.json, of different data or "
                "plug-ins: give the plug-in file that is meant with --plugin, or move one of them "
                "out of records/."
            )
        return new

    def contents(self) -> dict[str, bytes]:
        """The submission's files, less those that lie beside the records."""
        self._mark_missing()
        cells = sorted(self._rows)
        # in the records' order, whose first attribution is the protocol's headline
        names = list(dict.fromkeys(name for _, scores in self._rows.values() for name in scores))
        values = [[_number(self._rows[cell][1].get(name)) for name in names] for cell in cells]
        protocol = self._protocol
        self.manifest = Manifest(
            protocol=Stamp(
                name=protocol.name,
                version=protocol.version,
                digest=protocol.digest,
                primary=protocol.scoring.primary,
            ),
            slices=self._shared["slices"],
            scoring_version=SCORING_VERSION,
            scoring_sources=self._shared["scoring_sources"],
            weights=Weights(origin=self._shared["weights"], identity=self._weights_identity()),
            datasets=dict(sorted(self._datasets.items())),
            environments=[json.loads(text) for text in self._environments],
        )
        table = np.array(values, float).reshape(len(cells), len(names))
        return {
            layout.MANIFEST: f"{self.manifest.model_dump_json(indent=1)}\n".encode(),
            layout.CELLS: write_rows([self._rows[cell][0] for cell in cells], names, table),
            **{
                layout.group_file("images", *at): group.packed()
                for at, group in sorted(self.groups.items())
                if group.cells
            },
        }

    def shown(self) -> dict[tuple[str, str], list[str]]:
        """The keys of the cells whose examples are packed, by group: those of the lowest seed."""
        lowest = min(cell.seed for cell in self._rows)
        keys: dict[tuple[str, str], list[str]] = defaultdict(list)
        for cell, (row, _) in sorted(self._rows.items()):
            if cell.seed == lowest and row.key and row.status == "done":
                keys[cell.dataset, cell.architecture].append(row.key)
        return keys

    def sources(self) -> set[str]:
        """The digests of the plug-ins that the cells were run with."""
        rows = [row for row, _ in self._rows.values()]
        sources = [source for row in rows for source in (row.init_source, row.architecture_source)]
        return {
            source for source in (*sources, *self._shared["scoring_sources"].values()) if source
        }

    def _share_weights(self, weights: WeightsStamp, cell: Cell) -> None:
        """Note what an architecture began from; all had the same unless encoders have own files."""
        self._share("weights", weights.origin, cell)
        own = has_file_per_encoder(weights.origin)
        self._share(
            f"weights of {cell.architecture}" if own else "weights ", weights.identity, cell
        )
        self._weights[cell.architecture] = weights.identity

    def _weights_identity(self) -> str | dict[str, str]:
        """Return the name that all weights go by, or the file of each architecture."""
        origin, identities = self._shared["weights"], set(self._weights.values())
        if has_file_per_encoder(origin) and identities != {origin}:
            return dict(sorted(self._weights.items()))
        return identities.pop()

    def _share(self, what: str, value: Any, cell: Cell) -> None:
        if self._shared.setdefault(what, value) != value:
            title = "scoring sources" if what == "scoring_sources" else what
            raise UserError(
                f"The store has cells of different {title}, as {cell}: a submission is of one."
            )

    def _row(self, record: Record) -> Row:
        text = json.dumps(record.environment, sort_keys=True)
        facts = {
            "status": record.status,
            "dataset": record.dataset.name,
            "architecture": record.architecture,
            "init": record.init,
            "seed": record.seed,
            "key": record.key,
            "error": _safe(record.error) if record.status == "failed" else None,
            "architecture_source": record.architecture_source,
            "init_source": record.init_source,
            "gain": record.gain,
            "weights_tag": record.weights.tag,
            "weights_digest": record.weights.digest,
            "environment": self._environments.setdefault(text, len(self._environments)),
            "seconds": round(sum(record.seconds.values()), 3),
            "peak_memory_mb": record.peak_memory_mb,
            **(record.cost.model_dump() if record.cost else {}),
        }
        try:
            return Row.model_validate(facts)
        except ValidationError as error:
            raise UserError(f"The record {record.key}: {validation_message(error)}.") from error

    def _mark_missing(self) -> None:
        """Give each cell that the protocol has of a packed strategy a row."""
        for init in sorted({cell.init for cell in self._rows}):
            for cell in cells_of(self._protocol, init):
                if cell not in self._rows:
                    self._rows[cell] = Row(status="missing", **cell._asdict()), {}


def cells_of(protocol: Protocol, init: str) -> list[Cell]:
    """All cells that a protocol has of a strategy, which need not be one that it lists."""
    return [
        Cell(dataset_name(entry), architecture, init, seed)
        for entry in protocol.datasets
        for architecture in protocol.architectures
        for seed in protocol.seeds
    ]


class _Group:
    """The values of all done cells of one data set and architecture, as float32."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, int], tuple[str, dict[str, np.ndarray]]] = {}
        self._shared: dict[str, list[int]] = {}

    def add(self, record: Record) -> None:
        columns = {f"{IMAGES}{name}": _floats(c) for name, c in record.images.items()}
        shared = {"section": [int(value or 0) for value in record.images["section"]]}
        del columns[f"{IMAGES}section"]
        if record.over_training is not None:
            looks = record.over_training
            shared |= {f"{LOOKS}steps": looks.steps, f"{LOOKS}sections": looks.sections}
            for name, each in looks.images.items():
                columns[f"{LOOKS}{name}"] = np.stack([_floats(column) for column in each])
        if (self._shared or shared) != shared:
            raise UserError(
                f"The record {record.key} is of other test sections than others of its data set."
            )
        self._shared = shared
        self.cells[record.init, record.seed] = record.key, columns

    def discard(self, record: Record) -> None:
        """Forget what another record of the same cell said, where there was one."""
        self.cells.pop((record.init, record.seed), None)

    def packed(self) -> bytes:
        cells = [cell for _, cell in sorted(self.cells.items())]
        names = cells[0][1].keys()
        if odd := next((key for key, columns in cells if columns.keys() != names), None):
            raise UserError(f"The record {odd} has other scores than others of its protocol.")
        return packed(
            {
                "keys": np.array([key.encode() for key, _ in cells], "S32"),
                **{name: np.array(values, np.int32) for name, values in self._shared.items()},
                **{name: np.stack([columns[name] for _, columns in cells]) for name in names},
            }
        )


def _floats(column: Column) -> np.ndarray:
    return np.array([_number(value) for value in column], np.float32)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _safe(error: str | None) -> str:
    """An error's message as one line without what a page could take for a tag."""
    line = re.sub(r"\s+", " ", error or "").replace("<", "‹").replace(">", "›")
    return "".join(sign for sign in line if sign.isprintable())[:500].strip() or "unknown"


def _may_be_shown(example: Path) -> bool:
    """Whether the data's card lets an example be shown in public, where it says so."""
    arrays = Arrays(example)
    return "may_be_shown" not in arrays.names or bool(arrays.get("may_be_shown", "|u1"))


def _examples(output: OutputFolder, keys: list[str], slices: int) -> bytes | None:
    """Pack the examples of these cells in one file, but for cells that saw another section."""
    examples: dict[str, dict[str, np.ndarray]] = {}
    for key in keys:
        if (path := output.example(key)).is_file():
            arrays = Arrays(path)
            image = arrays.get("image", "|u1", slices, None, None)
            shapes = {"truth": image.shape[1:], "probability": image.shape[1:]}
            shapes["attribution"] = image.shape
            example = {name: arrays.get(name, "|u1", *shape) for name, shape in shapes.items()}
            example |= {"image": image, "section": arrays.get("section", "<i4")}
            first = next(iter(examples.values()), example)
            if all(np.array_equal(first[name], example[name]) for name in SHARED):
                examples[key] = example
    if not examples:
        return None
    shared = {name: next(iter(examples.values()))[name] for name in SHARED}
    made = {name: np.stack([example[name] for example in examples.values()]) for name in OWN}
    return packed({"keys": np.array([key.encode() for key in examples], "S32"), **shared, **made})


def _plugins(needed: set[str], given: Sequence[Path], before: Path) -> dict[str, bytes]:
    """The plug-ins to pack: those given, and those packed before that cells still are of."""
    chosen = {}
    for path in (*(sorted(before.glob("*.py")) if before.is_dir() else ()), *given):
        content = path.read_bytes()
        if (source := _sha256(content)) in needed:
            chosen[source] = path.name, content
        elif path in given:
            raise UserError(
                f"No cell was run with {path} as it is now: give the file that was, or run the "
                "cells again with `emsym-bench run --plugin`."
            )
    if missing := len(needed - chosen.keys()):
        warnings.warn(
            f"{missing} {'plug-in' if missing == 1 else 'plug-ins'} that cells were run with "
            f"{'is' if missing == 1 else 'are'} not packed: give the file with --plugin, so that "
            "others can verify them.",
            stacklevel=3,
        )
    return {f"plugins/{name}": content for name, content in chosen.values()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files_digest(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 of the names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _replace(folder: Path, contents: dict[str, bytes]) -> None:
    """Put a folder with these files in the place of another, which stays where that fails."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, content in contents.items():
            write_atomically(partial / name, content)
        layout.files(partial)  # what is too large is told here, not by whoever it is sent to
        if folder.exists():
            layout.files(folder)  # nothing but a submission is ever taken away
            shutil.rmtree(folder)
        partial.replace(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
