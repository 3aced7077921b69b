"""What the runner costs beside the cells, and what planning a large protocol takes."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import record_of

BENCH = Path(sys.executable).with_name("emsym-bench")

LARGE = """
name = "large"
version = "1"
datasets = [
    "phantom-neurites", "phantom-mitochondria", "phantom-fibres", "snemi3d", "isbi2012", "lucchi",
    "cremi-a:membranes", "cremi-b:membranes",
]
architectures = [{architectures}]
inits = [
    "rgb", "uniform-red", "uniform-green", "uniform-blue", "uniform-mean", "uniform-luminance",
    "mirror", "random-stem", "random", "timm", "smp", "rgb+mirror-tied",
]
seeds = [{seeds}]
weights = "pretext"

[recipe]
steps = 10
batch_size = 2
patch = 64
learning_rate = 1e-3
"""
ENCODERS = ("resnet18", "resnet34", "resnet50", "densenet121", "mobilenet_v2", "vgg16")

NO_TRAINING = """
import time
from emsym.models.architectures import ARCHITECTURES
from emsym.run import cell
from emsym.run.store.record import record_of

def quick(job, *words):
    "A cell in which nothing is trained: what is left is the runner's own."
    return record_of(job, status="done", seconds={"train": 0.0}, images={"section": [0] * 40})

cell.run_cell = quick
"""


def test_planning_many_cells(say: Callable[[str], None], tmp_path: Path) -> None:
    """All of them stored. Asked for: 100,000 cells in 10 s and 500 MB, without torch."""
    names = [f'"{d}-{e}"' for d in ("unet", "fpn") for e in ENCODERS]
    seeds = ", ".join(map(str, range(87)))
    text = LARGE.format(architectures=", ".join(names), seeds=seeds)
    (tmp_path / "large.toml").write_text(text)
    all_jobs = jobs(load_protocol(str(tmp_path / "large.toml")))
    content = record_of(all_jobs[0], status="done", seconds={"train": 3.0}).model_dump(mode="json")
    content["images"] = {f"score-{number}": [0.5] * 40 for number in range(20)}
    folder = tmp_path / "results" / "records"
    folder.mkdir(parents=True)
    for job in all_jobs:
        (folder / f"{job.key}.json").write_text(json.dumps({**content, "key": job.key}, indent=1))
    code = (
        "import sys; sys.argv = ['emsym-bench', 'plan', '--protocol', 'large.toml']\n"
        "from emsym.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(peak.split()[1]) / 1e3, 'torch' in sys.modules)"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - start)
    lines = done.stdout.splitlines()
    assert f"{len(all_jobs)} stored, 0 to run." in lines
    memory, torch = lines[-1].split()
    say(
        f"plan of {len(all_jobs)} cells, all stored: {statistics.median(seconds):.1f} s (of 3: "
        f"{min(seconds):.1f} to {max(seconds):.1f}), {float(memory):.0f} MB, torch: {torch}"
    )


def test_cost_of_a_cell(say: Callable[[str], None], tmp_path: Path) -> None:
    """Dispatch, isolation and record, in a worker that is warm. Asked for: under 150 ms."""
    from emsym.output_folder import OutputFolder
    from emsym.run.executors.base import Pool
    from emsym.run.executors.local import LocalExecutor
    from emsym.run.listener import RunListener
    from emsym.run.runner import run_jobs

    class Silent(RunListener):
        def phase(self, name, costs):
            self.start = time.perf_counter()

        def advance(self, what, cost, error=None):
            assert error is None, error
            self.end = time.perf_counter()

    plugin = tmp_path / "no_training.py"
    plugin.write_text(NO_TRAINING)
    text = LARGE.format(architectures='"unet-resnet18"', seeds="0, 1, 2, 3")
    (tmp_path / "large.toml").write_text(text.replace('"phantom-neurites", ', ""))
    all_jobs = [j for j in jobs(load_protocol(str(tmp_path / "large.toml"))) if j.card.phantom]
    costs = []
    with LocalExecutor(1, plugins=[plugin]) as executor:
        pool = Pool(executor, 1, executor.stop)
        run_jobs(all_jobs[:2], {}, OutputFolder(tmp_path / "warm"), pool, Silent())
        for number in range(3):
            silent = Silent()
            outcome = run_jobs(all_jobs, {}, OutputFolder(tmp_path / f"{number}"), pool, silent)
            assert len(outcome.records) == len(all_jobs)
            costs.append((silent.end - silent.start) / len(all_jobs))
    say(
        f"the runner's own cost of a cell: {1e3 * statistics.median(costs):.0f} ms "
        f"(of 3 runs of {len(all_jobs)}: {1e3 * min(costs):.0f} to {1e3 * max(costs):.0f})"
    )


@pytest.mark.parametrize("cells", [12])
def test_two_workers(say: Callable[[str], None], tmp_path: Path, cells: int) -> None:
    """Some cells of `quick`, by two workers, by one, and by one with two threads.

    Asked for on two cores: at least 1.6 × as fast as one worker with one thread, and at least as
    fast as one with two. Each way first prepares, which is not counted.
    """
    from emsym.paths import protocols_folder

    text = (protocols_folder() / "quick.toml").read_text()
    (tmp_path / "one.toml").write_text(text)
    (tmp_path / "two.toml").write_text(text.replace("[recipe]", "[recipe]\nthreads = 2"))
    ways = {"two workers": ("one", 2), "one worker": ("one", 1), "one, two threads": ("two", 1)}
    took: dict[str, float] = {}
    for name, (protocol, workers) in ways.items():
        words = ["run", "--protocol", f"{protocol}.toml", "--seed", "0", "--workers", str(workers)]
        for init in ("rgb", "mirror"):
            words += ["--init", init]
        done = subprocess.run(
            [BENCH, *words, "--output", name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        phases = done.stdout.rpartition("training and scoring ")[2]
        took[name] = float(phases.split()[0])
    two, one, threads = took.values()
    say(
        f"{cells} cells of quick: two workers {two:.0f} s, one {one:.0f} s ({one / two:.2f} ×), "
        f"one with two threads {threads:.0f} s ({threads / two:.2f} ×)"
    )
