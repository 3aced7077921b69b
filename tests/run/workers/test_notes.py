from collections.abc import Iterator

import pytest

from emsym.run.workers import notes


@pytest.fixture
def sent() -> Iterator[list]:
    heard: list = []
    notes.send_to(heard.append)
    notes.begin_task()
    yield heard
    notes._NOTES.listener = None


def test_notes_of_one_phase_are_sent_now_and_then_and_a_new_phase_at_once(sent: list) -> None:
    for step in range(5):
        notes.note("training", f"{step}/5")
    notes.note("symmetry")
    assert [phase for phase, _ in sent] == ["training 0/5", "symmetry"]


def test_the_first_note_of_a_task_is_sent_whatever_the_last_one_was(sent: list) -> None:
    notes.note("starting")
    notes.begin_task()
    notes.note("starting")
    assert len(sent) == 2


def test_where_nobody_listens_nothing_happens() -> None:
    notes.note("alone")
    assert notes._NOTES.phase != "alone"
