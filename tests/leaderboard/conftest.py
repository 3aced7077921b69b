"""Cells and sections whose truth is known, and records of two strategies."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emsym.leaderboard.bootstrap import UNIT
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record, record_of


def _simulate(
    random: np.random.Generator,
    means: dict[str, float],
    *,
    pairs: int = 1,
    seeds: int = 5,
    sections: int = 20,
    seed_sd: float = 1.0,
    section_sd: float = 1.0,
    noise_sd: float = 1.0,
    common_sd: float = 3.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and sections of strategies with these means.

    What a seed, a section and both together do is normal, of each strategy its own; on top comes
    what they do to all strategies alike, which pairing takes away. A cell is its sections' mean.
    """
    shape = (pairs, seeds, sections, len(means))
    values = np.array(list(means.values())) + noise_sd * random.normal(size=shape)
    values = values + seed_sd * random.normal(size=(pairs, seeds, 1, len(means)))
    values = values + section_sd * random.normal(size=(pairs, 1, sections, len(means)))
    values = values + common_sd * random.normal(size=(pairs, seeds, 1, 1))
    index = pd.MultiIndex.from_product(
        [[f"d{i}" for i in range(pairs)], ["a"], range(seeds), range(sections)],
        names=[*UNIT, "section"],
    )
    long = pd.DataFrame(values.reshape(-1, len(means)), index, list(means))
    return long.groupby(level=UNIT).mean(), long


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
