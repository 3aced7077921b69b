"""`benchmark/device.sh` leaves one folder of results, whatever the time that it has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmark" / "device.sh"


@pytest.mark.parametrize(
    ("words", "cells", "told"),
    [
        ([], "1", "two or three"),
        (["out", "soon"], "1", "SECONDS is 'soon'"),
        (["out", "0"], "1", "SECONDS is '0'"),
        (["out", "60"], "many", "CELLS is 'many'"),
        (["out", "60", "nosuch"], "1", "There is no protocol 'nosuch'"),
    ],
)
def test_wrong_words_are_told_before_anything_is_run(
    tmp_path: Path, words: list[str], cells: str, told: str
) -> None:
    there = [str(tmp_path / "out"), *words[1:]] if words else []
    environment = {**os.environ, "DEVICE": "cpu", "PYTHON": sys.executable, "CELLS": cells}
    command = [str(SCRIPT), *there]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert told in done.stderr
    assert not (tmp_path / "out/gpu-tests.txt").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    "EMSYM_DEVICE_SCRIPT" not in os.environ,
    reason="takes minutes: EMSYM_DEVICE_SCRIPT=1 asks for it",
)
def test_it_runs_on_a_cpu_within_its_seconds_and_goes_on_from_there(tiny: Path) -> None:
    output = tiny.parent / "out"
    environment = {**os.environ, "DEVICE": "cpu", "PYTHON": sys.executable}

    def run(seconds: int) -> subprocess.CompletedProcess:
        words = [str(SCRIPT), str(output), str(seconds), str(tiny)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    run(2)  # too short for anything
    assert {path.name for path in output.iterdir()} >= {"gpu-tests.txt", "machine.txt"}
    done = run(600)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (output / "run/records").glob("*/*.json")]
    records += [json.loads(path.read_text()) for path in (output / "run/records").glob("*.json")]
    assert [record["status"] for record in records] == ["done"] * 4
    assert "ms a step, eager" in (output / "speed.txt").read_text()
    assert "deselected" in (output / "gpu-tests.txt").read_text()
