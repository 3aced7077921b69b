"""The store: a folder of records, one JSON file each, named by their keys.

`KEY.json` is the record of a finished cell, `KEY.failed.json` that of one that failed: what there
is to do is told by the names alone, however many records there are. Records are written aside and
renamed, which needs no lock, so that several runs and several machines may write to one folder.
"""

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from emsym.errors import UserError, first_line
from emsym.files import write_atomically
from emsym.run.store.record import SCHEMA_VERSION, Record

FAILED, DONE, DAMAGED = ".failed.json", ".json", ".damaged"
_HEAD = re.compile(rb'\{\s*"schema_version":\s*(\d{1,9})[,\s}]')
_PART = 1000
_READERS = 8
"""Threads that look into files: on a network file system most of the time is waiting."""


class DamagedRecord(UserWarning):
    """A record that could not be read, and where it was put."""


@dataclass(frozen=True)
class Contents:
    """The keys of what a store holds."""

    done: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    """Those of cells that failed and have not been finished since."""
    damaged: list[Path] = field(default_factory=list)
    """Files that are not whole."""


class Store:
    """Records on disk. A reader never sees half a file: they are written aside and renamed."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first record is saved."""
        self.folder = folder

    def path(self, key: str, status: str = "done") -> Path:
        """Return where the record of that key lies or would lie."""
        return self.folder / f"{key}{DONE if status == 'done' else FAILED}"

    def contents(self, look: bool = True) -> Contents:
        """Return the keys of what the store holds, without reading the records.

        Of each file the first and the last bytes are looked at, unless told not to: a record that
        is cut short counts as damaged, not as done. Raises `UserError` for records of a newer
        emsym.
        """
        names = self._names()
        good = names
        if look:
            parts = [names[start : start + _PART] for start in range(0, len(names), _PART)]
            with ThreadPoolExecutor(_READERS) as pool:
                good = list(chain.from_iterable(pool.map(self._whole, parts)))
        failed = {name.removesuffix(FAILED) for name in good if name.endswith(FAILED)}
        done = {name.removesuffix(DONE) for name in good if not name.endswith(FAILED)}
        damaged = [self.folder / name for name in sorted({*names}.difference(good))]
        return Contents(frozenset(done), frozenset(failed - done), damaged)

    def load(self, key: str, set_aside: bool = True) -> Record | None:
        """Return the finished record of that key; None where there is none, or it is damaged.

        A damaged one is set aside, with a `DamagedRecord`, so that its cell is run again, unless
        told not to.
        """
        path = self.path(key)
        return self._read(path, set_aside) if path.is_file() else None

    def failure(self, key: str) -> Record | None:
        """Return the record of a cell that failed, as `load` gives that of a finished one."""
        path = self.path(key, "failed")
        return self._read(path) if path.is_file() else None

    def check(self) -> None:
        """Raise `UserError` where records could not be written, before anything is computed."""
        probe = self.folder / f".writable-{os.getpid()}"
        write_atomically(probe, "")
        probe.unlink(missing_ok=True)

    def records(self, keys: Iterable[str] | None = None) -> Iterator[Record]:
        """Yield the readable records of those keys, else all, in order; of each the done one."""
        if keys is None:
            contents = self.contents(look=False)
            keys = sorted(contents.done | contents.failed)
        for key in keys:
            record = self.load(key) or self.failure(key)
            if record is not None:
                yield record

    def save(self, record: Record) -> None:
        """Write a record; a finished one takes the place of a failed one.

        Raises `UserError` where the folder cannot be written; other records are untouched.
        """
        path = self.path(record.key, record.status)
        write_atomically(path, record.model_dump_json(indent=1))
        if record.status == "done":
            self.path(record.key, "failed").unlink(missing_ok=True)

    def set_aside(self, path: Path, why: str) -> Path:
        """Rename a damaged record, so that its cell is run again, and say so."""
        aside = path.with_name(path.name + DAMAGED)
        try:
            path.replace(aside)
        except OSError:  # another run did, or the folder is read-only
            aside = path
        warnings.warn(
            f"The record {path} is damaged ({why}): its cell counts as not run. "
            + (f"It is kept as {aside.name}." if aside != path else ""),
            DamagedRecord,
            stacklevel=2,
        )
        return aside

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return sorted(e.name for e in entries if e.name.endswith(DONE) and e.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"The store {self.folder} cannot be read: {error.strerror}.") from error

    def _whole(self, names: list[str]) -> list[str]:
        """Those of the files that are whole."""
        return [name for name in names if self._is_whole(name)]

    def _is_whole(self, name: str) -> bool:
        """Whether a file begins and ends as `save` writes a record."""
        try:
            file = os.open(self.folder / name, os.O_RDONLY)
        except OSError:
            return False
        try:
            head = _HEAD.match(os.read(file, 64))
            size = os.lseek(file, 0, os.SEEK_END)
            os.lseek(file, max(0, size - 8), os.SEEK_SET)
            self._require_known(name, head)
            if head is not None and os.read(file, 8).rstrip().endswith(b"\n}"):
                return True
        except OSError:
            return False
        finally:
            os.close(file)
        try:  # somebody may have written it anew, in another form
            Record.model_validate_json((self.folder / name).read_bytes())
        except (OSError, ValidationError):
            return False
        return True

    def _require_known(self, name: str, head: re.Match[bytes] | None) -> None:
        version = int(head[1]) if head else 0
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{self.folder / name} was written by a newer emsym (records of version {version}, "
                f"this one knows {SCHEMA_VERSION}): update emsym, or name another --output."
            )

    def _read(self, path: Path, set_aside: bool = True) -> Record | None:
        try:
            content = path.read_bytes()
            self._require_known(path.name, _HEAD.match(content))
            record = Record.model_validate_json(content)
        except FileNotFoundError:  # another run has just replaced it
            return None
        except OSError as error:
            raise UserError(f"The record {path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            if set_aside:
                self.set_aside(path, first_line(error))
            return None
        if self.path(record.key, record.status).name != path.name:
            if set_aside:
                self.set_aside(path, f"it is that of the cell {record.key}, {record.status}")
            return None
        return record
