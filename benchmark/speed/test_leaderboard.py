"""The leaderboard of 100,000 cells, and the intervals of a large protocol.

Wall times, and processor times, which tell more on a machine that does other things, too.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emsym.leaderboard.estimates import UNIT, estimate_means
from emsym.leaderboard.intervals import intervals
from emsym.leaderboard.results import FACTS, cell_table

STRATEGIES, SEEDS, IMAGES = 12, 10, 200
SHAPE = {"dataset": 10, "architecture": 20, "init": 50, "seed": 10}
SCORES = 100
"""Of each cell: about as many as the quick protocol has."""


def test_intervals_of_a_large_protocol(say: Callable[[str], None]) -> None:
    random = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [["d"], ["a"], range(SEEDS), range(IMAGES)], names=[*UNIT, "section"]
    )
    names = [f"strategy-{i}" for i in range(STRATEGIES)]
    sections = pd.DataFrame(random.normal(size=(len(index), STRATEGIES)), index, names)
    cells = sections.groupby(level=UNIT).mean()
    start, own = time.perf_counter(), time.process_time()
    found = intervals(estimate_means(cells, sections))
    wall, own = time.perf_counter() - start, time.process_time() - own
    assert found["low"].notna().all()
    say(
        f"intervals of {STRATEGIES} strategies × {SEEDS} seeds × {IMAGES} images: "
        f"{wall:.2f} s, {own:.2f} s of processors"
    )


class Many:
    """The results of 100,000 cells, without their sections, of which there are too many to read."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        lists = [[f"{name}-{i}" for i in range(count)] for name, count in SHAPE.items()]
        lists[2][0], lists[3] = "rgb", list(range(SHAPE["seed"]))
        cells = pd.MultiIndex.from_product(lists, names=list(SHAPE)).to_frame(index=False)
        prefix = "saliency/true-foreground"
        names = ["dice@0.5", "flip_error", "iou@0.5", "arand_2d", "arand_3d"]
        names += [f"{prefix}/{n}" for n in ("model_asymmetry", "neighbour_asymmetry", "imbalance")]
        names += [f"{prefix}/slice_share[{s}]" for s in ("-1", "+0", "+1")]
        names += [f"other/score-{i}" for i in range(SCORES - len(names))]
        scores = pd.DataFrame(random.uniform(0, 1, (len(cells), SCORES)), columns=names)
        facts = (
            cell_table([])
            .reindex(range(len(cells)))[FACTS]
            .assign(
                submission="many",
                key=[f"{i:032x}" for i in range(len(cells))],
                status="done",
                protocol="many",
                version="1",
                digest="0" * 64,
                weights="pretext",
                identity="pretext",
                slices=3,
                scoring_version=1,
                scoring_plugins="",
                data="0" * 64,
                modality="none",
                licence="CC0-1.0",
                citation="",
                gain="copy",
                commit="0" * 40,
                device="cpu",
                minutes=1.0,
            )
        )
        self.cells = facts.assign(**cells).join(scores)

    def per_image(self, keys: object, score: str) -> pd.DataFrame:
        raise AssertionError("no sections are read of so many cells")

    def over_training(self, keys: object) -> pd.DataFrame:
        raise AssertionError("no sections are read of so many cells")


def render(folder: Path) -> None:
    """In a process of its own, whose memory is its own."""
    from emsym.leaderboard.render.publish import write_leaderboard

    results = Many()
    start, own = time.perf_counter(), time.process_time()
    paths = write_leaderboard(results, folder)
    wall, own = time.perf_counter() - start, time.process_time() - own
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in paths)
    print(
        f"All renderings of {len(results.cells):,} cells × {SCORES} scores: {wall:.1f} s, "
        f"{own:.1f} s of processors, {peak:.2f} GB at most; {sizes}"
    )


def test_all_renderings_of_many_records(say: Callable[[str], None], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(done.stderr)
    say(done.stdout.strip())


if __name__ == "__main__":
    render(Path(sys.argv[1]))
