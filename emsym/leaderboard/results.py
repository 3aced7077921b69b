"""Where results come from: a row per cell, and what was measured of its sections on request."""

from collections.abc import Sequence
from typing import Protocol

import pandas as pd

FACTS = [
    *("submission", "key", "status", "error"),
    *("protocol", "version", "digest", "weights", "identity", "slices"),
    *("scoring_version", "scoring_plugins"),
    *("dataset", "data", "source", "modality", "licence", "citation"),
    *("architecture", "architecture_source", "init", "init_source", "gain", "seed"),
    *("commit", "device", "processor", "minutes", "peak_memory_mb"),
]
"""The columns of `cells` that are no scores."""


class Results(Protocol):
    """Cells from somewhere. A key may stand in several submissions: the same cell, run twice."""

    @property
    def cells(self) -> pd.DataFrame:
        """A row per cell: `FACTS`, then every score (float64), NaN where it is missing.

        Failed cells have the status "failed", an error, and no scores.
        """

    def per_image(self, keys: Sequence[str], score: str) -> pd.DataFrame:
        """A score of every test section of these cells: `key`, `section`, `value`."""

    def over_training(self, keys: Sequence[str]) -> pd.DataFrame:
        """Scores while these were trained: `key`, `step`, `score`, `value`, a mean of sections."""
