from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from emsym.leaderboard.eligibility import fields, largest_complete
from emsym.leaderboard.results import Joined, cell_table, of_records, of_store, row
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record
from emsym.run.store.store import Store


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    """Four cells, two strategies × two seeds."""
    return [
        job.record(
            status="done",
            scores={"dice@0.5": 0.5 + job.cell.seed},
            images={"section": [8, 9], "dice@0.5": [0.4, None]},
        )
        for job in jobs(load_protocol(str(tiny)))
    ]


def versioned(record: Record, **changes: str) -> Record:
    stamp = record.protocol.model_copy(update=changes)
    return record.model_copy(update={"protocol": stamp, "key": f"{record.key}-{changes}"})


def test_a_record_is_a_row_and_its_sections_are_kept_apart(records: list[Record]) -> None:
    found = of_records(records)
    assert len(found.cells) == 4
    assert found.cells.loc[0, "dice@0.5"] == 0.5
    assert found.cells.loc[0, "submission"] == "local"
    sections = found.per_image([records[0].key], "dice@0.5")
    assert sections["section"].tolist() == [8, 9]
    assert sections["value"].tolist() == pytest.approx([0.4, np.nan], nan_ok=True)
    assert not len(found.per_image([records[0].key], "none"))


def test_a_store_gives_what_its_records_give(records: list[Record], tmp_path: Path) -> None:
    store = Store(tmp_path / "records")
    for record in records:
        store.save(record)
    found = of_store(tmp_path / "records")
    mine = of_records(sorted(records, key=lambda record: record.key))
    pd.testing.assert_frame_equal(found.cells, mine.cells)
    keys = [record.key for record in records]
    pd.testing.assert_frame_equal(
        found.per_image(keys, "dice@0.5"), mine.per_image(keys, "dice@0.5")
    )


def test_a_store_without_records_has_no_rows(tmp_path: Path) -> None:
    assert not len(of_store(tmp_path).cells)
    assert fields(of_store(tmp_path).cells) == []
    assert not len(Joined([]).per_image(["x"], "y"))


def test_joined_sources_are_each_asked_for_their_own(records: list[Record]) -> None:
    found = Joined([of_records(records[:2]), of_records(records[1:])])
    assert len(found.cells) == 5
    assert len(found.per_image([record.key for record in records], "dice@0.5")) == 8


def test_the_newest_version_competes_and_others_stand_apart(records: list[Record]) -> None:
    newer = [versioned(record, version="10") for record in records[:2]]
    older = [versioned(record, version="9") for record in records]
    (field,) = fields(of_records([*records, *older, *newer]).cells)
    assert set(field.cells["version"]) == {"10"}
    assert field.apart["cells"].sum() == 8
    assert "version 9 of the protocol, not 10" in set(field.apart["reason"])


def test_another_text_of_one_version_stands_apart(records: list[Record]) -> None:
    edited = [versioned(record, digest="0" * 64) for record in records[:1]]
    (field,) = fields(of_records([*records, *edited]).cells)
    assert len(field.cells) == 4
    assert field.apart["reason"].tolist() == ["another text of version 1, digest 00000000"]


def test_other_weights_are_another_leaderboard(records: list[Record]) -> None:
    stamp = records[0].weights.model_copy(update={"identity": "imagenet"})
    moved = [r.model_copy(update={"weights": stamp, "key": r.key[::-1]}) for r in records]
    assert len(fields(of_records([*records, *moved]).cells)) == 2


def test_a_cell_that_two_submit_counts_once(records: list[Record]) -> None:
    cells = cell_table([row(r, "first") for r in records] + [row(r, "second") for r in records[:2]])
    (field,) = fields(cells)
    assert set(field.cells["submission"]) == {"first"}
    assert field.apart["submission"].tolist() == ["second"] * len(field.apart)
    assert "the same cells as in first" in field.apart["reason"].iloc[0]


def test_what_one_failed_another_may_have_done(records: list[Record]) -> None:
    failed = records[0].model_copy(update={"status": "failed", "scores": {}})
    cells = cell_table([row(failed, "first"), *(row(r, "second") for r in records)])
    (field,) = fields(cells)
    assert (field.cells["status"] == "done").all()
    assert len(field.cells) == 4


def test_a_changed_plugin_is_a_strategy_of_its_own(records: list[Record]) -> None:
    old = [r.model_copy(update={"init_source": "a" * 64}) for r in records if r.init == "rgb"]
    new = [
        r.model_copy(update={"init_source": "b" * 64, "key": r.key[::-1]})
        for r in records
        if r.init == "rgb"
    ]
    (field,) = fields(of_records([*old, *new]).cells)
    assert set(field.cells["init"]) == {"rgb #aaaaaa", "rgb #bbbbbb"}


@given(some.lists(some.lists(some.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_largest_complete_part_has_no_gap(values: list[list[bool]]) -> None:
    found = largest_complete(pd.DataFrame(values))
    assert found.to_numpy().all()
    widest = max(map(sum, values))
    assert found.size >= widest


def test_a_row_with_little_takes_nothing_from_the_others() -> None:
    has = pd.DataFrame([[True] * 10, [True] * 10, [True] + [False] * 9], list("abc"))
    assert largest_complete(has).shape == (2, 10)
    assert list(largest_complete(has).index) == ["a", "b"]
