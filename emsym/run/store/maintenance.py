"""A store looked after: every record read, stores put together, what is left over removed."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from emsym.errors import one_line
from emsym.files import write_atomically
from emsym.protocol import Cell
from emsym.run.store.claims import PREFIX, is_stale
from emsym.run.store.record import Record
from emsym.run.store.store import DAMAGED, DONE, FAILED, Store

OLD = 3600.0
"""Seconds after which a file that was being written belongs to nobody."""


@dataclass
class StoreCheck:
    """The counts of a store whose every record was read."""

    done: int = 0
    failed: int = 0
    damaged: list[Path] = field(default_factory=list)
    """Where damaged records lay before they were set aside."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each cell failed."""


def check_store(
    store: Store, tell: Callable[[int, int], object] = lambda done, total: None
) -> StoreCheck:
    """Read every record whole, and compute its key again from what it says of its cell.

    Damaged ones are set aside, so that their cells are run again.
    """
    result = StoreCheck()
    contents = store.contents()
    for path in contents.damaged:
        store.set_aside(path, "it is cut short")
        result.damaged.append(path)
    keys = [*sorted(contents.done), *sorted(contents.failed)]
    for number, key in enumerate(keys, 1):
        is_done = key in contents.done
        record = store.load(key) if is_done else store.failure(key)
        path = store.path(key, "done" if is_done else "failed")
        if record is not None and not record.is_of_its_key:
            store.set_aside(path, "it was changed: its key is that of another cell")
            record = None
        if record is None:
            result.damaged.append(path)
        elif is_done:
            result.done += 1
        else:
            result.failed += 1
            result.reasons[_cell(record)] = one_line(record.error or "")
        tell(number, len(keys))
    return result


def _cell(record: Record) -> str:
    return str(Cell(record.dataset.name, record.architecture, record.init, record.seed))


@dataclass
class StoreMerge:
    """The counts of records that were taken from other stores."""

    taken: int = 0
    had: int = 0
    """That this store holds, too, with the same numbers."""
    differing: list[str] = field(default_factory=list)
    """Keys of records whose numbers differ from those that this store holds and keeps."""


def merge_stores(store: Store, others: Iterable[Store]) -> StoreMerge:
    """Copy the records of other stores into this one, whose own are kept.

    A failed cell is taken where this store knows nothing of it.
    """
    result = StoreMerge()
    store.check()
    for other in others:
        theirs = other.contents()
        ours = store.contents(look=False)
        for key in sorted(theirs.done):
            record = other.load(key, set_aside=False)
            if record is None:
                continue
            if key not in ours.done:
                store.save(record)
                result.taken += 1
            elif (mine := store.load(key)) is not None and _numbers(mine) != _numbers(record):
                result.differing.append(key)
            else:
                result.had += 1
        for key in sorted(theirs.failed - ours.done - ours.failed):
            if (record := other.failure(key)) is not None:
                store.save(record)
                result.taken += 1
    return result


def _numbers(record: Record) -> tuple[object, ...]:
    return record.scores, record.images, record.curve


def leftovers(store: Store, keys: Collection[str] | None = None) -> list[Path]:
    """Return the files of a store that nobody needs.

    Damaged records that were set aside, files that a run which died was writing, claims of runs
    that died, records of failures of cells that are finished by now; and with `keys`, all records
    that have none of these.
    """
    if not store.folder.is_dir():
        return []
    now = _now(store)
    done = store.contents().done  # which refuses what a newer emsym wrote

    def is_litter(path: Path) -> bool:
        name, key = path.name, path.name.partition(".")[0]
        if name.endswith(".partial") or name.startswith(".writable-"):
            return now - path.stat().st_mtime > OLD
        if name.startswith(PREFIX):
            return is_stale(path, now)
        if name.endswith(DAMAGED) or (name.endswith(FAILED) and key in done):
            return True
        return keys is not None and name.endswith(DONE) and key not in keys

    return [path for path in sorted(store.folder.iterdir()) if is_litter(path)]


def _now(store: Store) -> float:
    """Return the time by the clock that stamps the store's files."""
    probe = store.folder / ".time"
    write_atomically(probe, "")
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now
