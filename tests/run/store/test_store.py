import math
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from emsym.errors import UserError
from emsym.files import write_atomically
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record, record_of
from emsym.run.store.store import Contents, DamagedRecord, Store


@pytest.fixture
def record(tiny: Path) -> Record:
    return record_of(
        jobs(load_protocol(str(tiny)))[0],
        status="done",
        scores={"dice@0.5": 0.5},
        images={"dice@0.5": [0.5, None]},
    )


def test_a_record_is_read_back_as_it_was(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    store.save(record)
    assert store.load(record.key) == record
    assert list(store.records()) == [record]


def failure_of(record: Record) -> Record:
    return record.model_copy(update={"status": "failed", "error": "x"})


def test_a_failed_record_is_kept_but_not_a_finished_cell(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    failed = failure_of(record)
    store.save(failed)
    assert store.load(record.key) is None
    assert store.failure(record.key) == failed
    assert list(store.records()) == [failed]
    assert store.contents() == Contents(failed=frozenset({record.key}))


def test_a_cell_that_is_finished_has_not_failed(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    store.save(failure_of(record))
    store.save(record)
    assert list(store.records()) == [record]
    assert store.contents() == Contents(done=frozenset({record.key}))
    # as when another run failed at what this one has finished
    store.save(failure_of(record))
    assert list(store.records()) == [record]
    assert store.contents() == Contents(done=frozenset({record.key}))


@pytest.mark.parametrize("status", ["done", "failed"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text[:-2],
        lambda text: "",
        lambda text: "\0" * len(text),
        lambda text: text[5:],
    ],
)
def test_a_record_cut_short_is_seen_without_reading_it(
    tmp_path: Path, record: Record, damage: Callable[[str], str], status: str
) -> None:
    store = Store(tmp_path / "records")
    store.save(record if status == "done" else failure_of(record))
    path = store.path(record.key, status)
    path.write_text(damage(path.read_text()))
    assert store.contents() == Contents(damaged=[path])


def test_a_record_in_another_form_is_whole(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    store.save(record)
    path = store.path(record.key)
    for text in (path.read_text() + "\n\n", record.model_dump_json()):
        path.write_text(text)
        assert store.contents() == Contents(done=frozenset({record.key}))
    path.unlink()
    path.mkdir()
    assert store.contents() == Contents(damaged=[path])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-40],
        lambda text: text.replace('"scores"', '"scars"'),
        lambda text: text.replace('"key": "', '"key": "0'),
        lambda text: text.replace('"done"', '"failed"'),
    ],
)
def test_a_damaged_record_is_told_set_aside_and_counts_as_missing(
    tmp_path: Path, record: Record, damage: Callable[[str], str]
) -> None:
    store = Store(tmp_path / "records")
    store.save(record)
    path = store.path(record.key)
    path.write_text(damage(path.read_text()))
    with pytest.warns(DamagedRecord, match=f"{path} is damaged"):
        assert store.load(record.key) is None
    assert [each.name for each in store.folder.iterdir()] == [f"{path.name}.damaged"]
    assert store.contents() == Contents()


def test_records_of_a_newer_emsym_are_refused_and_left(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    store.save(record)
    path = store.path(record.key)
    newer = path.read_text().replace('"schema_version": 1', '"schema_version": 2')
    path.write_text(newer)
    for read in (store.contents, lambda: store.load(record.key)):
        with pytest.raises(UserError, match=r"was written by a newer emsym .* update emsym"):
            read()
    assert path.read_text() == newer


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_is_not_a_number_of_a_record(record: Record, value: float) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate({**record.model_dump(), "scores": {"dice@0.5": value}})


def test_nothing_half_written_is_left_when_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_file_where_the_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "record.json", "text")
