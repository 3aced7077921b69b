from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.validate import validate
from emsym.errors import UserError


def call(folder: Path, protocol: Path) -> str:
    words = [str(folder), "--protocol", str(protocol)]
    return CliRunner().invoke(validate, words, catch_exceptions=False).output


def test_a_sound_submission_is_told_with_what_was_checked(submission: Path, tiny: Path) -> None:
    output = call(submission, tiny)
    assert f"{submission} is sound: tiny, version 1; cells: 4 done, 0 failed, 0 missing" in output
    assert "computed again from the values of 12 sections." in output
    assert "\nassurance: recomputed: the scores that come of single sections" in output


def test_one_that_is_not_is_a_sentence(submission: Path, tiny: Path) -> None:
    (submission / "cells.csv").write_text("")
    with pytest.raises(UserError, match=r"cells\.csv"):
        call(submission, tiny)
