"""The metrics of Quantus 0.6.0, for one section: what they are asked, and how it is read.

Each is a Quantus metric whose `evaluate_batch` is called with a batch of one section. Its public
call does no more than check and reshape; but the check that steps divide the section is needless,
the one that attributions differ takes as long as dozens of steps, and what is done after a batch
is wrong for ROAD and sensitivity-n.
"""

from math import ceil, sqrt
from typing import Any

import numpy as np
import quantus
from quantus.functions.similarity_func import correlation_spearman
from quantus.helpers.utils import get_padding_size

from emsym.scores.faithfulness.imputation import impute
from emsym.scores.faithfulness.shared_passes import Total, span

AS_IT_IS: dict[str, Any] = {
    "abs": False,
    "normalise": False,
    "return_aggregate": False,
    "disable_warnings": True,
}
BASELINE: dict[str, Any] = {**AS_IT_IS, "perturb_baseline": 0.0}

PARTS = (1 / 8, 1 / 4, 1 / 2)
"""Sizes of sensitivity-n's subsets, as parts of H·W; Quantus allows none above H·W."""


class _Model:
    """A model as `evaluate_batch` asks for one: one output per stack, T."""

    def __init__(self, total: Total, columns: int = 1) -> None:
        """With two columns the first is 0, so that argmax tells the sign of T."""
        self.total = total
        self.columns = columns

    def shape_input(self, x: np.ndarray, *_: object, **__: object) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        values = self.total(x)[:, None]
        return values if self.columns == 1 else np.hstack([np.zeros_like(values), values])


def _run(metric: Any, model: _Model, x: np.ndarray, a: np.ndarray, label: int = 0) -> np.ndarray:
    """Return Quantus' values for the one section, as an array."""
    scores = metric.evaluate_batch(
        model=model, x_batch=x[None], y_batch=np.array([label]), a_batch=a[None]
    )
    return np.asarray(scores, dtype=np.float64)[0]


def group_size(x: np.ndarray, steps: int) -> int:
    """Pixels per perturbation of x (S, H, W): H·W / steps, rounded up.

    >>> group_size(np.zeros((3, 128, 128)), 16)
    1024
    """
    return ceil(x[0].size / steps)


def square_side(x: np.ndarray, steps: int) -> int:
    """Side of the squares, of which about S × steps cover x (S, H, W).

    >>> square_side(np.zeros((3, 128, 128)), 16)
    19
    """
    return ceil(sqrt(x[0].size / (len(x) * steps)))


def faithfulness_correlation(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """See `emsym.scores.faithfulness.metrics`, here and below."""
    return _random_subsets(total, x, a, group_size(x, steps), len(x) * steps)


def sensitivity_n(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Mean of `faithfulness_correlation` over subsets of several sizes."""
    runs = ceil(len(x) * steps / len(PARTS))
    sizes = [ceil(part * x[0].size) for part in PARTS]
    return float(np.mean([_random_subsets(total, x, a, size, runs) for size in sizes]))


def _random_subsets(total: Total, x: np.ndarray, a: np.ndarray, size: int, runs: int) -> float:
    metric = quantus.FaithfulnessCorrelation(subset_size=size, nr_runs=runs, **BASELINE)
    return float(_run(metric, _Model(total), x, a))


def faithfulness_estimate(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Pearson's r over groups of ranked pixels."""
    metric = quantus.FaithfulnessEstimate(features_in_step=group_size(x, steps), **BASELINE)
    return float(_run(metric, _Model(total), x, a))


def monotonicity_correlation(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Spearman's correlation over groups of pixels ranked by |A|."""

    def spearman(a: np.ndarray, b: np.ndarray, **_: object) -> np.ndarray:
        # Quantus' own way with batches fails where one of them is constant
        return np.array([correlation_spearman(a[0], b[0])])

    metric = quantus.MonotonicityCorrelation(
        features_in_step=group_size(x, steps), nr_samples=1, similarity_func=spearman, **BASELINE
    )
    return float(_run(metric, _Model(total), x, np.abs(a)))


def pixel_flipping(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Mean of the curve of T, relative."""
    whole, nothing = span(total, x)
    metric = quantus.PixelFlipping(
        features_in_step=group_size(x, steps), return_auc_per_sample=True, **BASELINE
    )
    intervals = ceil(x.size / group_size(x, steps)) - 1
    area = float(_run(metric, _Model(total), x, a))
    return (area / intervals - nothing) / abs(whole - nothing) if intervals else np.nan


def region_perturbation(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Mean fall of T, relative."""
    whole, nothing = span(total, x)
    metric = quantus.RegionPerturbation(
        patch_size=square_side(x, steps), regions_evaluation=x.size, **BASELINE
    )
    return float(_run(metric, _Model(total), x, a).mean() / abs(whole - nothing))


def selectivity(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Mean of the curve of T, relative."""
    whole, nothing = span(total, x)
    metric = quantus.Selectivity(patch_size=square_side(x, steps), **BASELINE)
    curve = _run(metric, _Model(total), x, a)
    return float((curve.mean() - nothing) / abs(whole - nothing))


def road(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Part of the percentages that leave the sign of T."""
    percentages = [100 * k / (steps + 1) for k in range(1, steps + 1)]
    metric = quantus.ROAD(percentages=percentages, perturb_func=impute, **AS_IT_IS)
    metric.custom_batch_preprocess(a_batch=a[None])
    sign = int(total(x[None])[0] > 0)
    return float(_run(metric, _Model(total, columns=2), x, a, label=sign).mean())


def infidelity(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Squared error of A · x against the falls of T, relative."""
    side = square_side(x, steps)
    sides = [get_padding_size(size, side) for size in x.shape[1:]]
    padded = np.pad(x, [(0, 0), *sides])[None]

    def take_away(arr: np.ndarray, indices: np.ndarray, **_: object) -> np.ndarray:
        """One square of x, whose `indices` count from the corner of the padded section.

        Quantus' own takes it away from what the squares before have left, and fails where the
        section is padded.
        """
        changed = padded.copy()
        changed.reshape(-1)[indices] = 0
        return changed

    metric = quantus.Infidelity(
        perturb_patch_sizes=[side],
        n_perturb_samples=1,
        perturb_func=take_away,
        loss_func=_relative_error,
        **BASELINE,
    )
    return float(_run(metric, _Model(total), x, a))


def _relative_error(a: np.ndarray, b: np.ndarray, **_: object) -> np.ndarray:
    """Σ(a − βb)² / Σa² with the best β ≥ 0, of falls a and what was said of them b, (1, n)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    product = np.maximum((a * b).sum(-1), 0)
    return 1 - product**2 / ((a**2).sum(-1) * (b**2).sum(-1))
