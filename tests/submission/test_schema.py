"""Each text and number of a submission's files: what it may be, and how it is refused."""

from typing import Any

import pytest
from pydantic import ValidationError
from submission_edits import (
    CELLS,
    SCRIPT,
    Cases,
    Refused,
    edit_cells,
    edit_manifest,
    edit_sheet,
    set_cell,
)

from emsym.submission.schema import Row, Sheet

WRONG: Cases = {
    "no title": (edit_sheet('title = "Ours"', 'title = ""'), "'title'"),
    "no author": (edit_sheet('["A. Author"]', "[]"), "'authors'"),
    "script in the title": (edit_sheet("Ours", SCRIPT), "no '<' or '>'"),
    "script in an author": (edit_sheet("A. Author", SCRIPT), "no '<' or '>'"),
    "script in the contact": (edit_sheet("us@example.org", SCRIPT), "an e-mail address or"),
    "no address": (edit_sheet("us@example.org", "ask around"), "an e-mail address or"),
    "script in the note": (edit_sheet('note = ""', f'note = "{SCRIPT}"'), "no '<' or '>'"),
    "script in the licence": (edit_sheet("CC-BY-4.0", SCRIPT), "'licence'"),
    "script as address": (edit_sheet("https://example.org/ours", "javascript:alert(1)"), "'code'"),
    "quote in address": (edit_sheet("org/ours", "org/' onclick='x"), "'code'"),
    "terminal escape": (edit_sheet("Ours", r"\u001b[2J"), "control"),
    "text that runs backwards": (edit_sheet("Ours", "\u202eevil"), "control"),
    "unknown key with an escape": (edit_sheet("title", '"\\u001b[2J" = 1\ntitle'), "unknown key"),
    "endless title": (edit_sheet("Ours", "x" * 200), "at most 120"),
    "another format": (edit_manifest(format=2), "'format'"),
    "path as protocol": (edit_manifest(protocol__name="../../x"), "protocol.name"),
    "script as licence": (edit_manifest(datasets__tiny_a__licence=SCRIPT), "no '<' or '>'"),
    "script as modality": (edit_manifest(datasets__tiny_a__modality=SCRIPT), "no '<' or '>'"),
    "script as machine": (edit_manifest(environments__0__processor=SCRIPT), "no '<' or '>'"),
    "no machine": (edit_manifest(environments=[]), "environments"),
    "script as data set": (set_cell("dataset", SCRIPT), "'dataset'"),
    "script as architecture": (set_cell("architecture", SCRIPT), "'architecture'"),
    "script as init": (set_cell("init", SCRIPT), "'init'"),
    "path as init": (set_cell("init", "../../x"), "'init'"),
    "path as key": (set_cell("key", "../../../../etc/passwd"), "'key'"),
    "script as error": (edit_cells(lambda r: r[0].update(status="failed", error=SCRIPT)), CELLS),
    "NaN as seconds": (set_cell("seconds", "nan"), "'seconds'"),
    "a seed below zero": (set_cell("seed", "-1"), "'seed'"),
    "a seed beyond bounds": (set_cell("seed", "9" * 30), "'seed'"),
    "done without a key": (set_cell("key", ""), "is missing"),
    "missing with scores": (edit_cells(lambda r: r[0].update(status="missing")), CELLS),
    "an unknown status": (set_cell("status", "best"), "'status'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


CELL = {"dataset": "vnc:synapses", "architecture": "unet-resnet34", "init": "rgb+mirror", "seed": 0}
RUN = {"key": "0" * 32, "gain": "copy", "environment": 0, "seconds": 0.5}


def test_a_row_is_missing_without_a_key_and_failed_with_an_error() -> None:
    assert Row(status="missing", **CELL).key is None
    assert Row(status="done", **CELL, **RUN).error is None
    assert Row(status="failed", error="out of memory", **CELL, **RUN).error == "out of memory"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"status": "missing", **RUN}, "go with all but 'missing'"),
        ({"status": "done", **RUN, "gain": None}, "is missing"),
        ({"status": "done", "error": "x", **RUN}, "'error' goes with status 'failed'"),
        ({"status": "failed", **RUN}, "'error' goes with status 'failed'"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Row(**CELL, **facts)


def test_a_note_alone_may_have_several_lines() -> None:
    words = {"title": "Ours", "authors": ("A",), "contact": "us@example.org", "licence": "MIT"}
    sheet = Sheet(**words, code="https://example.org", note="one\ntwo")
    assert sheet.note.splitlines() == ["one", "two"]
    with pytest.raises(ValidationError, match="one line of text"):
        Sheet(**{**words, "title": "one\ntwo"}, code="https://example.org")
