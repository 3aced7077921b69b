"""Every score of every cell, as a spreadsheet reads it."""

import io

import pandas as pd
import pytest

from emsym.leaderboard.render.csv_tables import tidy, wide
from emsym.leaderboard.results import of_records
from emsym.run.store.record import Record


def test_the_tidy_csv_has_a_line_per_cell_and_score(records: list[Record]) -> None:
    table = pd.read_csv(io.StringIO("".join(tidy(of_records(records).cells))))
    assert len(table) == 4 * len(records[0].scores)
    rows = table[(table["init"] == "rgb") & (table["score"] == "flip_error")]
    assert rows["value"].tolist() == pytest.approx([0.2, 0.2], abs=2e-4)
    assert rows["seed"].tolist() == [0, 1]


def test_a_score_is_a_line_of_the_protocols_that_have_it(records: list[Record]) -> None:
    other = records[0].protocol.model_copy(update={"name": "other"})
    bare = {"protocol": other, "scores": {"flip_error": 0.5}}
    missing = {"scores": {**records[1].scores, "arand_2d": None}}
    cells = of_records(
        [records[0], records[1].model_copy(update=missing), records[2].model_copy(update=bare)]
    ).cells
    table = pd.read_csv(io.StringIO("".join(tidy(cells))))
    of_other = table[table["protocol"] == "other"]
    assert of_other["score"].tolist() == ["flip_error"]
    assert of_other["value"].tolist() == [0.5]
    lines = table[(table["protocol"] != "other") & (table["score"] == "arand_2d")]
    assert lines["value"].isna().tolist() == [False, True], "missing where others have it"


def test_the_wide_csv_has_a_line_per_cell_failed_ones_too(records: list[Record]) -> None:
    failed = records[3].model_copy(update={"status": "failed", "error": "=1+1,\n", "scores": {}})
    table = pd.read_csv(io.StringIO("".join(wide(of_records([*records[:3], failed]).cells))))
    assert table["key"].tolist() == [record.key for record in records]
    assert table["arand_2d"].isna().tolist() == [False, False, False, True]
    assert table.loc[3, "error"] == "'=1+1,"  # no formula in a spreadsheet
    expected = [record.scores["dice@0.5"] for record in records[:3]]
    assert table.loc[:2, "dice@0.5"].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1+1"])
def test_no_text_is_a_formula(records: list[Record], name: str) -> None:
    cells = of_records([record.model_copy(update={"init": name}) for record in records]).cells
    for table in (tidy(cells), wide(cells)):
        inits = pd.read_csv(io.StringIO("".join(table)))["init"]
        assert set(inits) == {f"'{name.strip()}"}


def test_a_missing_score_is_empty(records: list[Record]) -> None:
    scores = {**records[0].scores, "arand_2d": None}
    cells = of_records([records[0].model_copy(update={"scores": scores})]).cells
    for table in (tidy(cells), wide(cells)):
        text = "".join(table)
        assert "nan" not in text
        assert text.count("\r\n") == text.count("\n")
