import json
import os
import shutil
import time
from pathlib import Path

import pytest

from emsym.protocol import load_protocol
from emsym.run.job import Job, jobs
from emsym.run.store.maintenance import check_store, leftovers, merge_stores
from emsym.run.store.record import Record, record_of
from emsym.run.store.store import DamagedRecord, Store


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    made: list[Job] = jobs(load_protocol(str(tiny)))
    return [record_of(job, status="done", scores={"dice@0.5": 0.5}) for job in made]


def failed(record: Record) -> Record:
    return record.model_copy(update={"status": "failed", "error": "x", "scores": {}})


@pytest.fixture
def store(tmp_path: Path, records: list[Record]) -> Store:
    made = Store(tmp_path / "records")
    for record in records[:2]:
        made.save(record)
    made.save(failed(records[2]))
    return made


def test_every_record_is_read_and_the_damaged_set_aside(
    store: Store, records: list[Record]
) -> None:
    # whole at both ends, as only reading tells
    path = store.path(records[0].key)
    path.write_text(
        path.read_text().replace("0.5,", "0.5.,").replace('"dice@0.5": 0.5', '"dice": x')
    )
    other = store.path(records[2].key, "failed")
    other.write_text(other.read_text()[:50])
    told: list[tuple[int, int]] = []
    with pytest.warns(DamagedRecord):
        found = check_store(store, lambda done, total: told.append((done, total)))
    assert (found.done, found.failed) == (1, 0)
    assert set(found.damaged) == {path, other}
    assert told[-1] == (2, 2)
    assert not check_store(store).damaged


def test_a_record_that_was_given_another_cell_is_told(store: Store, records: list[Record]) -> None:
    path = store.path(records[0].key)
    path.write_text(path.read_text().replace('"init": "rgb"', '"init": "uniform-green"'))
    with pytest.warns(DamagedRecord, match="its key is that of another cell"):
        checked = check_store(store)
    assert (checked.done, checked.damaged) == (1, [path])


def test_stores_are_put_together_and_ours_is_kept(
    store: Store, records: list[Record], tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    other.save(records[0])
    other.save(records[1].model_copy(update={"scores": {"dice@0.5": 0.6}}))
    other.save(records[2])
    other.save(failed(records[3]))
    found = merge_stores(store, [other])
    assert (found.taken, found.had, found.differing) == (2, 1, [records[1].key])
    assert store.load(records[1].key) == records[1]
    assert store.load(records[2].key) == records[2], "finished there, failed here"
    assert store.failure(records[3].key) == failed(records[3])
    damaged = other.path(records[0].key)
    damaged.write_text(damaged.read_text().replace("0.5", "x"))
    again = merge_stores(store, [other])
    assert damaged.exists(), "what others have is left as it is"
    assert (again.taken, again.had) == (0, 1)


def test_litter_is_what_nobody_needs(store: Store, records: list[Record]) -> None:
    folder = store.folder
    shutil.copy(store.path(records[0].key), store.path(records[0].key, "failed"))
    (folder / f"{records[3].key}.json.damaged").touch()
    (folder / "young.partial").touch()
    (folder / "old.partial").touch()
    (folder / "notes.txt").touch()
    claim = {"host": "elsewhere", "pid": 1, "started": 0, "keys": []}
    (folder / ".running-live").write_text(json.dumps(claim))
    (folder / ".running-dead").write_text(json.dumps(claim))
    for name in ("old.partial", ".running-dead"):
        os.utime(folder / name, (time.time() - 9999,) * 2)
    found = {path.name for path in leftovers(store)}
    assert found == {
        f"{records[0].key}.failed.json",
        f"{records[3].key}.json.damaged",
        "old.partial",
        ".running-dead",
    }
    kept = {records[1].key}
    orphans = {path.name for path in leftovers(store, kept)} - found
    assert orphans == {f"{records[0].key}.json", f"{records[2].key}.failed.json"}


def test_no_store_has_no_litter(tmp_path: Path) -> None:
    assert leftovers(Store(tmp_path / "none")) == []
