import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from emsym.errors import UserError
from emsym.protocol import load_protocol
from emsym.run.plan import jobs
from emsym.run.record import Record
from emsym.run.store import Store, write_atomically


@pytest.fixture
def record(tiny: Path) -> Record:
    return jobs(load_protocol(str(tiny)))[0].record(
        status="done", scores={"dice@0.5": 0.5}, images={"dice@0.5": [0.5, None]}
    )


def test_a_record_is_read_back_as_it_was(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    store.save(record)
    assert store.load(record.key) == record
    assert list(store.records()) == [record]


def test_a_failed_record_is_kept_but_not_a_finished_cell(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    failed = record.model_copy(update={"status": "failed", "error": "x"})
    store.save(failed)
    assert store.load(record.key) is None
    assert list(store.records()) == [failed]


def test_a_damaged_record_is_told_and_counts_as_missing(tmp_path: Path, record: Record) -> None:
    store = Store(tmp_path / "records")
    store.save(record)
    path = store.path(record.key)
    path.write_text(path.read_text()[:-40])
    with pytest.warns(UserWarning, match=f"{path} is damaged"):
        assert store.load(record.key) is None


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
