"""Scores that do not follow from the values of sections are refused."""

from pathlib import Path

import numpy as np
import pytest
from submission_edits import Cases, Files, Refused, edit_arrays, refusal, set_cell, set_value, write

from emsym.submission.read import Submission
from emsym.submission.score_check import CLOSE
from emsym.submission.validate import validate

WRONG: Cases = {
    "a better Dice": (set_cell("dice@0.5", "0.99"), "claims 0.99 as its dice@0.5"),
    "a hair better": (set_cell("flip_error", "0.0001"), "as its flip_error"),
    "a missing score": (set_cell("flip_error", ""), "claims nan as its flip_error"),
    "Dice of 7": (set_cell("dice@0.85", "7"), "not within 0 and 1"),
    "ARAND of 7": (set_cell("arand_3d", "7"), "not within 0 and 1"),
    "values of another score": (edit_arrays(lambda a: a.update(x=a["section"])), "no use for x"),
    "no values": (edit_arrays(lambda a: a.pop("images/flip_error")), "lacks images/flip_error"),
    "values NaN": (set_value("images/flip_error", np.nan), "claims"),
    "values infinite": (set_value("images/flip_error", np.inf), "not finite"),
    "values beyond bounds": (set_value("images/flip_error", 2), "not within 0 and 1"),
    "a count that is none": (set_value("images/tp@0.5", 100.5), "no count of pixels"),
    "other labels": (set_value("images/fn@0.5", 9999), "different labels"),
    "another prediction": (set_value("images/fp@0.5", 9), "foreground/pixels is not what"),
    "Dice of a section": (set_value("images/dice@0.5", 0.999), "dice@0.5 is not what"),
    "shares beyond one": (
        set_value("images/saliency/foreground/slice_share[+0]", 1.0),
        "do not add up to 1",
    ),
    "half an asymmetry": (
        set_value("images/saliency/foreground/data_asymmetry", 0.9),
        "do not add up",
    ),
    "a look beyond bounds": (set_value("over_training/flip_error", 2, (0, 0, 0)), "not within"),
    "other steps": (
        edit_arrays(lambda a: a.update({"over_training/steps": np.array([0, 9], "i4")})),
        "after the steps of the protocol",
    ),
    "other keys": (edit_arrays(lambda a: a.update(keys=a["keys"][::2])), "has not the cells"),
    "sections out of order": (set_value("section", 0, (2,)), "not in order"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


@pytest.mark.parametrize(("part", "sound"), [(0.5, True), (2, False)])
def test_a_claim_may_be_off_by_what_float32_rounds_and_no_more(
    tiny: Path, submission: Path, files: Files, part: float, sound: bool
) -> None:
    cells = Submission(submission).cells
    largest = Submission(submission).per_image([cells["key"][0]], "flip_error")["value"].max()
    claim = float(cells["flip_error"][0] + part * CLOSE * largest)
    set_cell("flip_error", repr(claim))(files)
    write(submission, files)
    if sound:
        assert validate(submission, str(tiny)).sections == 4 * 3
    else:
        assert "as its flip_error" in refusal(submission, tiny)
