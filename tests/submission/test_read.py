"""A submission as it is read: its values by key, and files that are refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from submission_edits import (
    GROUP,
    MANIFEST,
    SHEET,
    Cases,
    Refused,
    content,
    edit_cells,
    set_cell,
    without,
)

from emsym.leaderboard.results import FACTS
from emsym.submission.read import Submission, read_submissions

DEEP = b"[" * 100_000
WRONG: Cases = {
    "TOML bomb": (content(SHEET, b"a = " + b"[" * 12_000), SHEET),
    "UTF-16": (lambda f: f.update({SHEET: f[SHEET].decode().encode("utf-16")}), SHEET),
    "Latin-1": (lambda f: f.update({SHEET: b'title = "\xe9"'}), SHEET),
    "deep JSON": (content(MANIFEST, DEEP), MANIFEST),
    "JSON that is none": (content(MANIFEST, b"\xff\xfe"), MANIFEST),
    "NaN in JSON": (content(MANIFEST, b'{"slices": NaN}'), MANIFEST),
    "a cell twice": (edit_cells(lambda rows: rows.append(rows[0])), "is there twice"),
    "a key twice": (edit_cells(lambda r: r[1].update(key=r[0]["key"])), "is there twice"),
    "an environment too far": (set_cell("environment", "9"), "environment that is not"),
    "no group": (without(GROUP), "is missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


def test_sections_are_asked_for_in_the_order_of_keys(submission: Path) -> None:
    found = Submission(submission)
    keys = found.cells["key"].tolist()[::-1][:2]
    assert found.per_image(keys, "flip_error")["key"].tolist() == [k for k in keys for _ in "abc"]
    assert found.per_image(["0" * 32], "flip_error").empty
    assert found.per_image(keys, "no-such-score").dtypes["value"] == np.float64


def test_all_submissions_are_read_by_name(submission: Path) -> None:
    (submission.parent / "README.md").write_text("how to submit")
    (submission.parent / ".other.partial").mkdir()
    assert [each.name for each in read_submissions(submission.parent)] == ["ours-1"]
    assert read_submissions(submission.parent / "none") == []


def test_a_submission_and_the_store_agree_frame_by_frame(submission: Path) -> None:
    found = Submission(submission)
    table = found.cells
    scores = [name for name in table if name not in FACTS]
    assert (table[scores].dtypes == np.float64).all()
    means = found.per_image(table["key"].tolist(), "flip_error").groupby("key")["value"].mean()
    pd.testing.assert_series_equal(
        means.sort_index(),
        table.set_index("key")["flip_error"].sort_index(),
        check_names=False,
        rtol=1e-6,
    )
