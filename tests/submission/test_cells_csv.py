"""``cells.csv``: read as it was written, and refused where it is damaged."""

from pathlib import Path

import numpy as np
import pytest
from submission_edits import CELLS, Cases, Refused, content, set_cell

from emsym.errors import UserError
from emsym.submission.cells_csv import read_rows, write_rows
from emsym.submission.schema import FIELDS, Row

SHAPLEY = "slice-shapley/true-foreground/slice_shapley[+0]"
WRONG: Cases = {
    "NaN as score": (set_cell("dice@0.5", "nan"), "no finite number"),
    "infinity as score": (set_cell("dice@0.5", "inf"), "no finite number"),
    "overflow as score": (set_cell("dice@0.5", "1e999"), "no finite number"),
    "a score of no measure": (set_cell(SHAPLEY, "1e308"), "beyond 1e+15"),
    "word as score": (set_cell("dice@0.5", "high"), "no finite number"),
    "not a table": (content(CELLS, b"hello"), "columns are not those"),
    "an open quote": (lambda f: f.update({CELLS: f[CELLS] + b'"'}), CELLS),
    "NUL": (lambda f: f.update({CELLS: f[CELLS] + b"\0" * 10}), CELLS),
    "a short row": (lambda f: f.update({CELLS: f[CELLS] + b"done,x\n"}), "instead of"),
    "an endless field": (lambda f: f.update({CELLS: f[CELLS] + b"x" * 200_000}), CELLS),
    "cells in UTF-16": (lambda f: f.update({CELLS: f[CELLS].decode().encode("utf-16")}), CELLS),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


@pytest.fixture
def rows() -> list[Row]:
    cell = {"dataset": "a", "architecture": "unet", "init": "rgb"}
    run = {"key": "0" * 32, "gain": "copy", "environment": 0, "seconds": 1.5}
    return [Row(status="done", seed=0, **cell, **run), Row(status="missing", seed=1, **cell)]


def test_what_is_read_is_what_was_written(rows: list[Row], tmp_path: Path) -> None:
    names = ["dice@0.5", "flip_error"]
    scores = np.array([[1 / 3, 1e-17], [np.nan, np.nan]])  # to the last digit
    (tmp_path / "cells.csv").write_bytes(write_rows(rows, names, scores))
    again, again_names, again_scores = read_rows(tmp_path / "cells.csv")
    assert (again, again_names) == (rows, names)
    np.testing.assert_array_equal(again_scores, scores)


def test_a_byte_order_mark_is_skipped(rows: list[Row], tmp_path: Path) -> None:
    written = write_rows(rows, ["dice@0.5"], np.array([[0.5], [np.nan]]))
    (tmp_path / "cells.csv").write_bytes(b"\xef\xbb\xbf" + written)
    assert read_rows(tmp_path / "cells.csv")[0] == rows


def test_the_damaged_line_is_named(rows: list[Row], tmp_path: Path) -> None:
    content = write_rows(rows, ["dice@0.5"], np.array([[0.5], [np.nan]])).decode()
    head, first, second = content.splitlines()
    path = tmp_path / "cells.csv"
    assert head.split(",") == [*FIELDS, "dice@0.5"]
    path.write_text("\n".join([head, first, f"{second}0.5"]))
    with pytest.raises(UserError, match=r"line 3: it has scores and is not done"):
        read_rows(path)
    path.write_text("\n".join([head, first.replace("rgb", "r g b"), second]))
    with pytest.raises(UserError, match=r"line 2: 'init'"):
        read_rows(path)
    path.write_text(f"{head},dice@0.5\n")
    with pytest.raises(UserError, match="line 1: its columns are not those"):
        read_rows(path)
