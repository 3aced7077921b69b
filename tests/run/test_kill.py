"""kill -9 of a whole run, again and again: nothing is lost, damaged, or done twice."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A run whose cells train nothing, in worker processes as ever. Each leaves a line when it begins
# and one when it ends, before its record is on its way.
PLUGIN = """
import os, time
from pathlib import Path
from emsym.run.store.record import record_of
from emsym.run.workers import tasks

def say(word, job):
    line = f"{word} {job.cell.init} {job.cell.seed}\\n".encode()
    file = os.open(os.environ["NOOP_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)

def quick(job, *words):
    say("begin", job)
    time.sleep(0.05)
    record = record_of(job, status="done", scores={"dice@0.5": 0.5}, curve=[float(job.cell.seed)])
    say("end", job)
    return record

tasks.run_cell = quick
"""
RUN = """
import sys
from pathlib import Path
from emsym.output_folder import OutputFolder
from emsym.protocol import load_protocol
from emsym.run.executors.base import Setup
from emsym.run.executors.local import local
from emsym.run.job import jobs
from emsym.run.listener import RunListener
from emsym.run.plan import plan
from emsym.run.runner import run_jobs
from emsym.run.store.store import Store

plugin, protocol, folder = map(Path, sys.argv[1:])
output = OutputFolder(folder)
store = Store(output.records)
planned = plan(jobs(load_protocol(str(protocol))), store)
for path in planned.damaged:
    store.set_aside(path, "cut short")
with local(Setup(2, plugins=(plugin,))) as pool:
    outcome = run_jobs(planned.missing, {}, output, pool, RunListener())
assert not outcome.failed, outcome.failed[0].error
"""


def begin(folder: Path, store: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            RUN,
            folder / "noop.py",
            folder / "tiny.toml",
            store,
        ],
        start_new_session=True,
        env={**os.environ, "NOOP_LOG": str(folder / f"{store.name}.log")},
    )


def contents(store: Path) -> dict[str, object]:
    return {path.name: json.loads(path.read_text()) for path in (store / "records").glob("*.json")}


@pytest.mark.slow
def test_after_twenty_kills_the_records_are_those_of_an_undisturbed_run(tiny: Path) -> None:
    folder = tiny.parent
    (folder / "noop.py").write_text(PLUGIN)
    tiny.write_text(tiny.read_text().replace("seeds = [0, 1]", f"seeds = {list(range(60))}"))
    assert begin(folder, folder / "calm").wait(120) == 0
    expected = contents(folder / "calm")
    assert len(expected) == 120

    draw = random.Random(0)
    killed = 0
    for _ in range(20):
        run = begin(folder, folder / "store")
        try:
            run.wait(draw.uniform(0.4, 1.6))
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            killed += 1
        run.wait()
    assert begin(folder, folder / "store").wait(120) == 0
    assert killed >= 10, "the kills came while it ran"
    assert contents(folder / "store") == expected
    assert not list((folder / "store" / "records").glob("*.damaged"))
    left = [path for path in (folder / "store" / "records").iterdir() if path.suffix != ".json"]
    assert len(left) <= 3 * killed

    lines = (folder / "store.log").read_text().splitlines()
    again = [line for line in set(lines) if line.startswith("begin") and lines.count(line) > 1]
    # in flight at a kill: two that ran, and one that lay ready
    assert len(again) <= 3 * killed
