"""The files of a submission: plain ones of known names and sizes, and nothing else."""

import os
from pathlib import Path

import pytest
from submission_edits import (
    CELLS,
    EXAMPLE,
    GROUP,
    MANIFEST,
    SCRIPT,
    SHEET,
    Cases,
    Refused,
    content,
    refusal,
    without,
)

from emsym.errors import UserError
from emsym.submission.layout import check_name, files
from emsym.submission.validate import validate

WRONG: Cases = {
    "large TOML": (content(SHEET, b"#" * 20_000), "may hold"),
    "no sheet": (without(SHEET), "is missing"),
    "no manifest": (without(MANIFEST), "is missing"),
    "no cells": (without(CELLS), "is missing"),
    "large JSON": (content(MANIFEST, b" " * (1 << 21)), "may hold"),
    "a file too many": (content("index.html", SCRIPT.encode()), "is no file of a submission"),
    "a folder in a folder": (content("images/a/b.npz", b""), "is no plain file"),
    "a hidden file": (content(".git", b""), "is no file of a submission"),
    "a device of Windows": (content("plugins/Aux.x.py", b""), "a device of Windows"),
    "a name with an escape": (content("images/\x1b[2J.npz", b""), "is no file of a submission"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


def test_a_gigabyte_of_json_is_refused_unread(tiny: Path, submission: Path) -> None:
    with (submission / MANIFEST).open("r+b") as file:
        file.truncate(1 << 30)  # a sparse file: nothing of it is on the disk
    assert "1,073,741,824 bytes and may hold 1,048,576" in refusal(submission, tiny)


@pytest.mark.parametrize("name", [SHEET, MANIFEST, CELLS, GROUP, "plugins"])
def test_a_link_is_not_followed(tiny: Path, submission: Path, name: str) -> None:
    target = tiny.parent / "secret"
    target.mkdir()
    (submission / name).unlink(missing_ok=True)
    (submission / name).symlink_to(target)
    assert "no plain file" in refusal(submission, tiny)


def test_a_submission_that_is_a_link_is_refused(tiny: Path, submission: Path) -> None:
    link = submission.with_name("link")
    link.symlink_to(submission)
    assert "is not a submission" in refusal(link, tiny)


def test_a_pipe_is_not_waited_for(tiny: Path, submission: Path) -> None:
    (submission / CELLS).unlink()
    os.mkfifo(submission / CELLS)
    assert "no plain file" in refusal(submission, tiny)


def test_thousands_of_files_are_refused(tiny: Path, submission: Path) -> None:
    (submission / "plugins").mkdir()
    for number in range(2001):
        (submission / "plugins" / f"{number}.py").touch()
    assert "too large" in refusal(submission, tiny)


def test_a_folder_that_is_not_there_is_a_sentence(tiny: Path, tmp_path: Path) -> None:
    assert "is not a submission" in refusal(tmp_path / "none", tiny)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "X", ".x", "x" * 41, "x\n", "a b", "<b>"])
def test_a_name_that_is_no_folders_is_a_sentence(name: str) -> None:
    with pytest.raises(UserError, match="cannot be called"):
        check_name(name)


@pytest.mark.parametrize("name", ["con", "nul", "prn", "aux", "com1", "lpt9"])
def test_a_device_of_windows_is_no_name(name: str) -> None:
    with pytest.raises(UserError, match="on Windows that is a device"):
        check_name(name)
    assert check_name(f"{name}0") == f"{name}0"


@pytest.mark.parametrize("sign", ["\n::error::", "\x1b[2J", "\u202e", "\u200b"])
def test_a_folder_whose_name_steers_a_terminal_is_refused(tmp_path: Path, sign: str) -> None:
    folder = tmp_path / f"ours{sign}"
    folder.mkdir()
    with pytest.raises(UserError, match="cannot be called") as caught:
        validate(folder)
    assert str(caught.value).isprintable()


def test_files_are_listed_in_order_by_their_names(submission: Path) -> None:
    listed = files(submission)
    assert list(listed) == [CELLS, EXAMPLE, GROUP, MANIFEST, SHEET]
    assert all(path == submission / name for name, path in listed.items())
