"""Cells and sections whose truth is known, and records of two strategies."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chromium import CHROMIUM, Chromium

from emsym.leaderboard.estimates import UNIT
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record, record_of


def _simulate(
    random: np.random.Generator,
    means: dict[str, float],
    *,
    sets: int = 1,
    architectures: int = 1,
    seeds: int | list[int] = 5,
    sections: int = 12,
    seed_sd: float = 1.0,
    section_sd: float = 1.0,
    shared: float = 0.5,
    noise_sd: float = 1.0,
    common_sd: float = 3.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and sections of strategies with these means.

    What a seed, a section and both together do is normal, of each strategy its own; on top comes
    what a seed does to all strategies alike, which pairing takes away. What sections do correlates
    by `shared` between the architectures of a data set. A cell is its sections' mean. `seeds` are
    those of every pair, or a list in the order of the pairs.
    """
    names, parts = list(means), []
    each = iter(seeds if isinstance(seeds, list) else [seeds] * (sets * architectures))
    for one_set in range(sets):
        alike = random.normal(size=(1, sections, len(names)))
        for architecture in range(architectures):
            count = next(each)
            own = random.normal(size=(1, sections, len(names)))
            values = np.array(list(means.values())) + noise_sd * random.normal(
                size=(count, sections, len(names))
            )
            values += section_sd * (np.sqrt(shared) * alike + np.sqrt(1 - shared) * own)
            values += seed_sd * random.normal(size=(count, 1, len(names)))
            values += common_sd * random.normal(size=(count, 1, 1))
            index = pd.MultiIndex.from_product(
                [[f"d{one_set}"], [f"a{architecture}"], range(count), range(sections)],
                names=[*UNIT, "section"],
            )
            parts.append(pd.DataFrame(values.reshape(-1, len(names)), index, names))
    long = pd.concat(parts)
    return long.groupby(level=UNIT, sort=False).mean(), long


@pytest.fixture(scope="session")
def simulate() -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    return _simulate


SHARES = {-1: 0.3, 0: 0.6, 1: 0.1}


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    """Two strategies × two seeds, of which `rgb` is biased."""
    noise = random.Random(0)

    def scores(init: str, seed: int) -> dict[str, float | None]:
        biased = init == "rgb"
        shares = {
            f"saliency/true-foreground/slice_share[{s:+d}]": share if biased else 1 / 3
            for s, share in SHARES.items()
        }
        return {
            "dice@0.5": 0.9 - 0.01 * seed + noise.uniform(0, 1e-4),
            "iou@0.5": 0.8,
            "arand_2d": 0.1,
            "flip_error": (0.2 if biased else 0.01) + noise.uniform(0, 1e-4),
            "saliency/true-foreground/model_asymmetry": (-1) ** seed * 0.5 if biased else 0.0,
            "saliency/true-foreground/neighbour_asymmetry": -0.5 if biased else 0.0,
            **shares,
        }

    return [
        record_of(
            job,
            status="done",
            scores=scores(job.cell.init, job.cell.seed),
            environment={"processor": "A & B"},
        )
        for job in jobs(load_protocol(str(tiny)))
    ]


@pytest.fixture
def easy(records: list[Record]) -> list[Record]:
    """Records of another data set, perfect, which `rgb` alone has."""
    stamp = records[0].dataset.model_copy(update={"name": "easy"})
    return [
        record.model_copy(
            update={
                "dataset": stamp,
                "scores": {**record.scores, "dice@0.5": 1.0},
                "key": record.key[::-1],
            }
        )
        for record in records
        if record.init == "rgb"
    ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    found = Chromium(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
