"""A sound submission's files, and what is said of a change of them."""

import shutil
from pathlib import Path

import pytest
from submission_edits import Change, Files, Refused, refusal, write


@pytest.fixture
def files(submission: Path) -> Files:
    return {
        path.relative_to(submission).as_posix(): path.read_bytes()
        for path in submission.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def refused(tiny: Path, submission: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Apply a change and return the sentence, where nothing was written and nothing was run."""
    monkeypatch.chdir(tiny.parent)

    def sentence(change: Change) -> str:
        change(files)
        shutil.rmtree(submission)
        write(submission, files)
        before = sorted(tiny.parent.rglob("*"))
        text = refusal(submission, tiny)
        assert sorted(tiny.parent.rglob("*")) == before
        return text

    return sentence
