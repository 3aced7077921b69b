"""The store: a folder of records, one JSON file each, named by their keys."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from emsym.files import write_atomically
from emsym.run.record import Record


class Store:
    """Records on disk. A reader never sees half a file: they are written aside and renamed."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first record is saved."""
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the record of that key lies or would lie."""
        return self.folder / f"{key}.json"

    def load(self, key: str) -> Record | None:
        """The finished record of that key; None where there is none, it failed, or is damaged."""
        path = self.path(key)
        if not path.is_file():
            return None
        record = _read(path)
        return record if record is not None and record.status == "done" else None

    def check(self) -> None:
        """Raise `UserError` where records could not be written, before anything is computed."""
        probe = self.folder / ".writable"
        write_atomically(probe, "")
        probe.unlink()

    def records(self) -> Iterator[Record]:
        """All readable records, in the order of their keys."""
        for path in sorted(self.folder.glob("*.json")):
            if (record := _read(path)) is not None:
                yield record

    def save(self, record: Record) -> None:
        """Write a record, replacing the one of the same key.

        Raises `UserError` where the folder cannot be written; other records are untouched.
        """
        write_atomically(self.path(record.key), record.model_dump_json(indent=1))


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        why = str(error).splitlines()[0]
        warnings.warn(f"The record {path} is damaged and ignored: {why}", stacklevel=3)
        return None
