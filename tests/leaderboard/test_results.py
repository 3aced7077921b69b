"""Rows of cells and values of sections, from records in memory, in a store or joined."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emsym.leaderboard.results import Joined, of_records, of_store, section_values
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record, record_of
from emsym.run.store.store import Store


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    """Four cells, two strategies × two seeds."""
    return [
        record_of(
            job,
            status="done",
            scores={"dice@0.5": 0.5 + job.cell.seed},
            images={"section": [8, 9], "dice@0.5": [0.4, None]},
        )
        for job in jobs(load_protocol(str(tiny)))
    ]


def test_a_record_is_a_row_and_its_sections_are_kept_apart(records: list[Record]) -> None:
    found = of_records(records)
    assert len(found.cells) == 4
    assert found.cells.loc[0, "dice@0.5"] == 0.5
    assert found.cells.loc[0, "submission"] == "local"
    sections = found.per_image([records[0].key], "dice@0.5")
    assert sections["section"].tolist() == [8, 9]
    assert sections["value"].tolist() == pytest.approx([0.4, np.nan], nan_ok=True)
    assert not len(found.per_image([records[0].key], "none"))


def test_nothing_in_a_text_steers_a_terminal(records: list[Record]) -> None:
    failed = records[0].model_copy(update={"status": "failed", "error": "\x1b[2J\n::error::"})
    assert of_records([failed]).cells.loc[0, "error"] == "\\x1b[2J ::error::"


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
    assert not len(Joined([]).per_image(["x"], "y"))


def test_joined_sources_are_each_asked_for_their_own(records: list[Record]) -> None:
    found = Joined([of_records(records[:2]), of_records(records[1:])])
    assert len(found.cells) == 5
    assert len(found.per_image([record.key for record in records], "dice@0.5")) == 8


def test_a_section_moves_dice_by_its_pixels(records: list[Record]) -> None:
    """As leaving it out does, to first order: of four sections that differ much in foreground."""
    counts = {"tp": [900, 90, 9, 40], "fp": [100, 5, 9, 10], "fn": [50, 10, 0, 30]}
    images = {"section": [4, 8, 12, 16], **{f"{name}@0.5": v for name, v in counts.items()}}
    images["dice@0.5"] = [0.5] * 4  # which has no say
    record = records[0].model_copy(update={"images": images})
    moved = section_values(of_records([record]), [record.key], "dice@0.5")
    tp, fp, fn = (np.array(each, float) for each in counts.values())
    whole = 2 * tp.sum() / (2 * tp + fp + fn).sum()
    for at in range(4):
        weight = np.ones(4)
        weight[at] += 1e-6
        dice = (2 * tp * weight).sum() / ((2 * tp + fp + fn) * weight).sum()
        # a mean of four moves by a quarter of its value
        assert moved["value"][at] / 4 == pytest.approx((dice - whole) / 1e-6, rel=1e-3)
