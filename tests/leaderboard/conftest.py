"""Cells and sections whose truth is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from emsym.leaderboard.bootstrap import UNIT


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
