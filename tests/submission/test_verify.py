"""Which cells are run again, and what is made of what they give; `tests/cli` really runs some."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from emsym.errors import UserError
from emsym.protocol import Cell, Protocol
from emsym.run.display import RunDisplay
from emsym.run.job import Job, jobs
from emsym.run.store.record import Record, record_of
from emsym.run.store.store import Store
from emsym.submission import verify as module
from emsym.submission.pack import pack
from emsym.submission.read import Submission
from emsym.submission.verify import ScoreMismatch, choose_cells, verify_submission

Make = Callable[[Job], Record]


def test_cells_are_chosen_by_what_the_submission_holds(submission: Path) -> None:
    def chosen() -> list[str | None]:
        return [row.key for row in choose_cells(Submission(submission), 4)]

    first = chosen()
    assert chosen() == first
    assert [row.key for row in choose_cells(Submission(submission), 2)] == first[:2]
    assert len(choose_cells(Submission(submission), 99)) == 4
    seen = set()
    for number in range(20):  # one that never changed would be so by a chance of 24 ** -20
        text = (submission / "submission.toml").read_text().split("note =")[0]
        (submission / "submission.toml").write_text(f'{text}note = "{number}"\n')
        seen.add(tuple(chosen()))
    assert len(seen) > 5


def test_failed_and_missing_cells_are_not_run(
    tiny: Path, store: Path, protocol: Protocol, fill_in: Callable
) -> None:
    first, second, *_ = jobs(protocol)
    for job in (first, second):
        Store(store / "records").path(job.key).unlink()
    Store(store / "records").save(record_of(first, status="failed", error="x"))
    pack(store, protocol, tiny.parent / "holes")
    fill_in(tiny.parent / "holes")
    found = choose_cells(Submission(tiny.parent / "holes"), 9)
    assert {row.key for row in found} == {job.key for job in jobs(protocol)[2:]}


@pytest.fixture
def tolerant(tiny: Path) -> Path:
    with tiny.open("a") as file:
        file.write('\n[tolerance.cpu]\n"dice@*" = 0.01\n"*" = 1e-6\n')
    return tiny


def run_as(monkeypatch: pytest.MonkeyPatch, record: Callable[[Job], Record]) -> None:
    def run_benchmark(
        protocol: Protocol, *_: object, cells: list[Cell], **__: object
    ) -> SimpleNamespace:
        chosen = [job for job in jobs(protocol) if job.cell in cells]
        return SimpleNamespace(done=[record(job) for job in chosen], failed=[])

    monkeypatch.setattr(module, "run_benchmark", run_benchmark)


def bar() -> RunDisplay:
    from rich.console import Console

    return RunDisplay(Console())


def test_what_is_within_the_tolerance_is_as_claimed(
    tolerant: Path, submission: Path, made_up: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(job: Job) -> Record:
        record = made_up(job)
        dice = (record.scores["dice@0.5"] or 0) + 0.009
        return record.model_copy(update={"scores": {**record.scores, "dice@0.5": dice}})

    run_as(monkeypatch, close)
    (found,) = verify_submission(submission, 1, bar(), str(tolerant))
    assert found.beyond == []
    assert max(each.apart for each in found.differences) == pytest.approx(0.009)


def test_what_is_beyond_it_is_told_with_both_numbers(
    tolerant: Path, submission: Path, made_up: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(job: Job) -> Record:
        record = made_up(job)
        changes = {"dice@0.5": (record.scores["dice@0.5"] or 0) - 0.011, "flip_error": None}
        return record.model_copy(update={"scores": {**record.scores, **changes}})

    run_as(monkeypatch, off)
    for found in verify_submission(submission, 2, bar(), str(tolerant)):
        assert [each.score for each in found.beyond] == ["flip_error", "dice@0.5"]
        assert found.beyond[0].apart == math.inf
        assert found.beyond[1].claimed - found.beyond[1].found == pytest.approx(0.011)


def test_what_is_missing_on_both_sides_is_no_difference() -> None:
    assert ScoreMismatch("x", math.nan, math.nan, 0.0).is_within
    assert not ScoreMismatch("x", math.nan, 0.0, 1e9).is_within


def test_a_protocol_without_a_tolerance_is_told_before_anything_is_run(
    tiny: Path, submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "run_benchmark", never)
    with pytest.raises(UserError, match=r"give it a \[tolerance\]"):
        verify_submission(submission, 1, bar(), str(tiny))


def test_what_is_not_sound_is_not_run(
    tolerant: Path, submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_benchmark", lambda *_: pytest.fail("it was run"))
    (submission / "cells.csv").write_text("")
    with pytest.raises(UserError, match=r"cells\.csv"):
        verify_submission(submission, 1, bar(), str(tolerant))
