"""Faithfulness: do the pixels that an attribution names matter to the network? Metrics by name.

A metric scores one attribution of one section. It gets T as a function of stacks, the section's
stack x (S, H, W), its attribution A (S, H, W), both float32, and `steps`, and returns a number.
T(x) = Σ of the logit over the pixels of a mask that stays fixed; what stands for a pixel that is
taken away is the training mean, 0. Of S slices, a metric asks for about S × `steps` perturbed
stacks (ROAD for `steps`, slice removal for at most 2 S), so that all cost about the same.

Attributions are taken as they are, neither normalised nor made absolute, except where a metric's
definition does (`monotonicity-correlation`, `slice-removal`): normalising changes no score here,
and which sign an attribution gives to a pixel is part of what it says. A section has no score, NaN,
where its mask is empty, where its attribution is the same everywhere (all zero, say) or not finite,
where T is not finite or is the same for all stacks that were asked for, and where a metric's
docstring says so: never 0.

Quantus 0.6.0 computes all but `slice-removal`. `REFUSED` has those of its metrics that are not
offered. Listing the metrics imports neither torch nor quantus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.registry import Registry
from emsym.scores.score import Better, Score

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from emsym.scores.dense_logits import DenseLogits
    from emsym.scores.faithfulness.shared_passes import MetricFunction, Total

CORRELATION = (-1.0, 1.0)
PART = (0.0, 1.0)
UNBOUNDED = (-math.inf, math.inf)


REFUSED = {
    "irof": "its superpixels span all slices, it fails on stacks of more than one slice, and a "
    "network that never changes its answer gets 1 instead of 0",
    "monotonicity": "it replaces the baseline by itself, so that every attribution gets 1; mended, "
    "the exact attribution of a linear network gets 0 where a contribution is negative",
    "sufficiency": "it compares the classes predicted for the sections of a batch, so that a "
    "section's score depends on its batch, and T has no classes",
    "batch-sufficiency": "it compares the classes predicted for the sections of a batch, so that "
    "a section's score depends on its batch, and T has no classes",
}
"""The faithfulness metrics of Quantus 0.6.0 that are not offered, and why."""


def _refuse(name: str) -> Score | None:
    if name in REFUSED:
        raise UserError(
            f"The metric '{name}' of Quantus 0.6.0 is not offered, as {REFUSED[name]}; "
            "`emsym-bench list metrics` shows those that are."
        )
    return None


METRICS: Registry[Score] = Registry("metric", group="emsym.metrics", resolve=_refuse)


def register_metric(
    name: str,
    better: Better = "high",
    *,
    title: str | None = None,
    bounds: tuple[float, float] = UNBOUNDED,
    digits: int = 3,
    meaning: str | None = None,
) -> Callable[[MetricFunction], MetricFunction]:
    """Decorate a metric (T, x (S, H, W), A (S, H, W), steps) → float; see `MetricFunction`.

    `better` says which values are those of a more faithful attribution, and `bounds` between which
    all of them lie. `title` is the head of its column, by default the name, and `meaning` by
    default the first line of the docstring. Raises `UserError` when the name is taken.
    """
    if not isinstance(name, str):
        raise UserError('A metric is registered by its name: @register_metric("my-name").')
    if better not in ("high", "low"):
        raise UserError(f"Of the metric '{name}' either 'high' or 'low' is better, not {better!r}.")

    def register(compute: MetricFunction) -> MetricFunction:
        summary = (compute.__doc__ or "").strip().split("\n")[0]
        key = f"{{map}}/{{target}}/{name}"
        facts = Score(
            key, title or name, meaning or summary, better, bounds, digits, compute=compute
        )
        METRICS.add(name, facts, summary=summary, depth=2)
        return compute

    return register


def list_metrics(pattern: str = "*") -> list[str]:
    """The names of the metrics that match a shell pattern.

    >>> list_metrics("faithfulness-*")
    ['faithfulness-correlation', 'faithfulness-estimate']
    """
    return METRICS.names(pattern)


def faithfulness(
    dense: DenseLogits,
    x: Tensor,
    mask: Tensor,
    attributions: Mapping[str, Tensor],
    metrics: Sequence[str],
    steps: int,
) -> dict[tuple[str, str], np.ndarray]:
    """(attribution, metric) → a score per section, (N,) float64, NaN where there is none.

    For stacks x (N, S, H, W) float32, masks (N, H, W) bool and attributions (N, S, H, W) by their
    names. A section's scores do not depend on the others. All share the network's passes: every
    distinct stack is evaluated once. Raises `UserError` where a metric is unknown or refused.
    """
    from emsym.scores.faithfulness import shared_passes

    chosen = {name: _function(name) for name in metrics}
    return shared_passes.scores(dense, x, mask, attributions, chosen, steps)


def _function(name: str) -> MetricFunction:
    compute = METRICS.get(name).compute
    assert compute is not None
    return compute


@register_metric("faithfulness-correlation", bounds=CORRELATION)
def faithfulness_correlation(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """r of the summed A of random pixels and T's fall without them. Bhatt et al., 2005.00631.

    Pearson's, −1 … 1: S × `steps` random subsets of H·W / `steps` pixels of all slices.
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.faithfulness_correlation(total, x, a, steps)


@register_metric(
    "faithfulness-estimate",
    title="faithfulness",
    bounds=CORRELATION,
    digits=2,
    meaning="correlation of what the attribution names with what matters, −1 … 1.",
)
def faithfulness_estimate(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """r of the summed A of ranked pixels and T's fall without them. Alvarez-Melis, 1806.07538.

    Pearson's, −1 … 1: the pixels of all slices are ranked by A and cut into groups of
    H·W / `steps`, each of which is taken away alone.
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.faithfulness_estimate(total, x, a, steps)


@register_metric("monotonicity-correlation", bounds=CORRELATION)
def monotonicity_correlation(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Rank correlation of summed |A| and T's squared change. Nguyen and Martínez, 2007.07584.

    Spearman's, −1 … 1, over the groups of `faithfulness-estimate`, ranked by |A|. With the training
    mean as the one baseline, the change is a square instead of a mean over random ones.
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.monotonicity_correlation(total, x, a, steps)


@register_metric("sensitivity-n", bounds=CORRELATION)
def sensitivity_n(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """r of summed A and T's fall, mean over subsets of n pixels. Ancona et al., 1711.06104.

    Pearson's, −1 … 1: for n = 1/8, 1/4 and 1/2 of H·W, S × `steps` / 3 random subsets each. As the
    paper defines it, by Quantus' `FaithfulnessCorrelation` at each n. Quantus' `SensitivityN` is
    another thing: it correlates over the sections of its first batch, and the fall without all
    pixels up to a rank with the attribution of the last of them alone.
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.sensitivity_n(total, x, a, steps)


@register_metric("pixel-flipping", better="low")
def pixel_flipping(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Mean of T while pixels go, greatest A first. Bach et al., doi 10.1371/journal.pone.0130140.

    The area under Quantus' curve of T, per step, as (T − T(0)) / |T(x) − T(0)|: for T(x) > T(0)
    the curve runs from 1 to 0, so that networks and sections compare; it may leave that range. The
    pixels of all slices go in groups of H·W / `steps`. NaN where T(x) = T(0).
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.pixel_flipping(total, x, a, steps)


@register_metric("region-perturbation")
def region_perturbation(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Mean fall of T while square regions go, greatest A first. Samek et al., 1509.06321.

    Of all steps, relative to |T(x) − T(0)|: mostly 0 … 1. About S × `steps` squares, each through
    all slices, so that this says nothing of which slice matters. Quantus calls low scores the
    better ones; by the paper they are the worse. NaN where T(x) = T(0).
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.region_perturbation(total, x, a, steps)


@register_metric("selectivity", better="low")
def selectivity(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """Area under T while square regions go. Montavon et al., doi 10.1016/j.dsp.2017.10.011.

    Per step, as (T − T(0)) / |T(x) − T(0)|: mostly 0 … 1, of the squares of `region-perturbation`,
    whose passes it shares. NaN where T(x) = T(0).
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.selectivity(total, x, a, steps)


@register_metric("road", better="low", bounds=PART)
def road(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """How long T keeps its sign while the top pixels are blurred away. Rong et al., 2202.00449.

    The part, 0 … 1, of `steps` evenly spaced percentages of pixels (of all slices, greatest A
    first) whose removal leaves the sign of T. A pixel is filled in from its neighbours in its own
    slice, with noise of .01; Quantus' own way of filling fails on more than one slice.
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.road(total, x, a, steps)


@register_metric("infidelity", better="low")
def infidelity(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """How far A · x of a square is from T's fall without it, squared. Yeh et al., 1901.09392.

    Mean over squares through all slices, about S × `steps` of them, each taken away alone; as a
    part of the mean squared fall and after A is scaled by the best factor ≥ 0, as the paper does
    to compare methods: 0 … 1, and 1 is no better than A = 0. NaN where no fall is left or A · x
    is 0 in every square.
    """
    from emsym.scores.faithfulness import quantus_metrics

    return quantus_metrics.infidelity(total, x, a, steps)


@register_metric("slice-removal")
def slice_removal(total: Total, x: np.ndarray, a: np.ndarray, steps: int) -> float:
    """How much longer T lasts when slices go least share of |A| first than the other way round.

    Mean of r over all steps but first and last, least first minus greatest first, of
    r = (T − T(0)) / (T(x) − T(0)), which runs from 1 to 0: −1 … 1 where r stays within them, and
    positive where the attribution ranks the slices rightly. Slices whose shares are the same to
    six decimals go in every order, of which the mean is taken. NaN where T(x) = T(0), or S = 1.
    """
    from emsym.scores.faithfulness import slice_removal

    return slice_removal.slice_removal(total, x, a)
