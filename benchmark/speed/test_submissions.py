"""Reading the tables of 100,000 cells out of fifty submissions, with every score of `quick`.

Asked of all renderings: 30 s and 1.5 GB. What is read here is checked cell by cell; beside it
stands pandas, which reads the same files and checks nothing. Each in a process of its own.
"""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emsym import SCORING_VERSION
from emsym.protocol import Protocol
from emsym.scores.expected_scores import image_scores, pooled_alone
from emsym.submission.cells_csv import write_rows
from emsym.submission.schema import DataSchema, Manifest, Row, Stamp, Weights

SUBMISSIONS, CELLS = 50, 2000
SHEET_OF_ONE = """
title = "One of many"
authors = ["A. Author"]
contact = "us@example.org"
code = "https://example.org"
licence = "MIT"
"""
READ = """
import re, sys, time
import pandas as pd
from pathlib import Path
from emsym.submission.read import read_submissions
start = time.process_time()
folder = Path(sys.argv[1])
if sys.argv[2] == "emsym":
    cells = pd.concat([each.cells for each in read_submissions(folder)])
else:
    cells = pd.concat([pd.read_csv(path / "cells.csv") for path in sorted(folder.iterdir())])
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
print(len(cells), time.process_time() - start, peak)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, quick: Protocol) -> Path:
    root = tmp_path_factory.mktemp("submissions")
    names = sorted(image_scores(quick) | set(pooled_alone()))
    data = DataSchema(
        digest="0" * 64, source="phantom", modality="none", licence="CC0-1.0", citation=""
    )
    manifest = Manifest(
        protocol=Stamp(name=quick.name, version=quick.version, digest=quick.digest),
        slices=quick.slices,
        scoring_version=SCORING_VERSION,
        scoring_sources={},
        weights=Weights(origin="pretext", identity="pretext"),
        datasets=dict.fromkeys(quick.datasets, data),
        environments=[{"device": "cpu", "processor": "none"}],
    )
    rng = np.random.default_rng(0)
    for number in range(SUBMISSIONS):
        at = root / f"group-{number}"
        at.mkdir()
        (at / "submission.toml").write_text(SHEET_OF_ONE)
        (at / "manifest.json").write_text(manifest.model_dump_json())
        inits = [f"init-{number}" for number in range(CELLS)]
        cells = itertools.product(inits, quick.datasets, quick.architectures, range(10))
        rows = [
            Row(
                status="done",
                dataset=dataset,
                architecture=architecture,
                init=init,
                seed=seed,
                key=f"{number:08x}{row:024x}",
                gain="copy",
                environment=0,
                seconds=12.345,
                peak_memory_mb=900.5,
            )
            for row, (init, dataset, architecture, seed) in enumerate(
                itertools.islice(cells, CELLS)
            )
        ]
        (at / "cells.csv").write_bytes(write_rows(rows, names, rng.random((CELLS, len(names)))))
    return root


def test_the_cells_of_all_submissions(folder: Path, say: Callable[[str], None]) -> None:
    found = {}
    for who in ("pandas", "emsym"):
        words = [sys.executable, "-c", READ, str(folder), who]
        count, seconds, peak = subprocess.check_output(words, text=True).split()
        found[who] = float(seconds)
        say(f"{who}: {count} cells in {found[who]:.1f} s of one core, {float(peak):.0f} MB at most")
    say(f"emsym / pandas: {found['emsym'] / found['pandas']:.1f}")
