import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from emsym.errors import UserError
from emsym.protocol import load_protocol
from emsym.run import display
from emsym.run.display import RunCommandDisplay, RunDisplay, _is_copied
from emsym.run.executors.base import Note
from emsym.run.job import jobs
from emsym.run.plan import Plan


def test_without_a_terminal_there_are_plain_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    with RunDisplay(Console(file=out, width=60)) as told:
        told.phase("cells", [1.0] * 3)
        told.advance("first", 1.0)
        monkeypatch.setattr(display, "EVERY", 0.0)
        told.advance("second", 1.0, error="it broke")
        told.note(Note("1", "third", "training 1/5"))
        told.say("a [word] of warning")
        told.advance("third", 1.0)
    lines = out.getvalue().splitlines()
    assert lines[0] == "cells: 0 of 3"
    assert lines[1].startswith("cells: 2 of 3, 1 failed after 0 s, about ")
    assert lines[1].endswith(" left (second)")
    assert lines[2] == "a [word] of warning"
    assert lines[3] == "cells: 3 of 3, 1 failed after 0 s (third)"
    assert len(lines) == 4


def test_without_a_terminal_some_line_comes_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    out = io.StringIO()
    told = RunDisplay(Console(file=out, width=60))
    told.phase("cells", [1.0, 1.0])
    told.note(Note("1", "phantom · unet · rgb · seed 0", "step 60 of 100, loss 0.41"))
    told.note(Note("2", "phantom · unet · rgb · seed 1", "starting"))
    now = 59.0
    told._beat()
    assert out.getvalue().splitlines() == ["cells: 0 of 2"], "nobody waits for long as yet"
    now = 60.0
    told._beat()
    told._beat()
    (line,) = out.getvalue().splitlines()[1:]
    at = "step 60 of 100, loss 0.41 (phantom · unet · rgb · seed 0, and 1 more)"
    assert line == f"cells: 0 of 2 after 1 min; {at}"
    told.note(Note("1", None))
    told.note(Note("2", None))
    for _ in range(2):
        told.advance("x", 1.0)
    now = 600.0
    told._beat()
    assert out.getvalue().splitlines()[2:] == ["cells: 2 of 2 after 1 min (x)"], "it has ended"
    told.__exit__(None, None, None)


def test_the_heart_beats_by_itself_and_ends_with_the_display(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(display, "HEARTBEAT", 0.02)
    out = io.StringIO()
    before = threading.active_count()
    with RunDisplay(Console(file=out, width=60)) as told:
        told.phase("cells", [1.0])
        assert waited_for(lambda: out.getvalue().count("cells: 0 of 1 after") > 1)
    assert waited_for(lambda: threading.active_count() == before)


def waited_for(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_on_a_terminal_there_is_a_table_of_the_workers() -> None:
    console = Console(file=io.StringIO(), width=90, force_terminal=True)
    told = RunDisplay(console)
    told.phase("cells", [3.0, 1.0])
    told.note(Note("1", "phantom · unet · rgb · seed 0", "training 40/100", 1_250_000_000))
    told.note(Note("2", "phantom · [b]unet[/b] · rgb · seed 1", "symmetry"))
    told.note(Note("2", None))
    told.note(Note("3", "phantom · [b]unet[/b] · rgb · seed 1", "symmetry"))
    told.advance("x", 3.0)
    with console.capture() as captured:
        console.print(told._table())
    shown = captured.get()
    assert "1 of 2 after 0 s, about 0 s left" in shown
    assert "phantom · unet · rgb · seed 0" in shown
    assert "training 40/100" in shown
    assert "1.2 GB" in shown
    assert "[b]unet[/b]" in shown, "names are not markup"
    assert len([line for line in shown.splitlines() if "phantom" in line]) == 2


def test_time_left_knows_how_many_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    told = RunDisplay(Console(file=io.StringIO()))
    told.phase("cells", [1.0] * 101)
    for worker in range(10):
        told.note(Note(str(worker), f"cell {worker}"))
    now = 60.0
    told.note(Note("0", None))
    told.advance("cell 0", 1.0)
    assert told._summary() == "1 of 101 after 1 min, about 10 min left"


@pytest.mark.parametrize(("count", "told"), [(1, ": 1 cell, 1 stored, 0"), (2, ": 2 cells, 2 st")])
def test_one_cell_is_told_in_the_singular(count: int, told: str) -> None:
    protocol, out = load_protocol("quick"), io.StringIO()
    stored = jobs(protocol)[:count]
    RunCommandDisplay(Console(file=out), None).planned(protocol, Plan(stored, [], [], []), [])
    assert told in out.getvalue()


def test_a_description_that_was_copied_is_not_shown() -> None:
    protocol = load_protocol("quick")
    own = protocol.model_copy(update={"name": "mine"})
    assert not _is_copied(protocol)
    assert _is_copied(own)
    assert not _is_copied(own.model_copy(update={"description": "My own."}))


def test_a_log_tells_every_event(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.txt"
    with RunDisplay(Console(file=io.StringIO())) as told:
        told.log_to(path)
        told.phase("cells", [1.0])
        told.note(Note("1", "a", "starting"))
        told.note(Note("1", "a", "training 3/5"))
        told.note(Note("1", None))
        told.advance("a", 1.0, error="it broke")
    lines = [line.partition(" INFO ")[2] or line for line in path.read_text().splitlines()]
    assert lines[:2] == ["cells: 1", "worker 1: a"]
    assert lines[2].endswith("ERROR failed: a: it broke")
    assert len(lines) == 3


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: Is a directory"):
        RunDisplay(Console()).log_to(tmp_path)
