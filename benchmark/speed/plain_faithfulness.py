"""Faithfulness the plain way: one Quantus call per section and metric, with its defaults.

What a script does that was written in an hour. Settings are those that emsym documents, so that
the numbers are the same; where Quantus' own call cannot give a metric (ROAD on several slices),
there is nothing to compare.
"""

import math
import warnings

import numpy as np
import quantus
import torch


class MaskedLogit(torch.nn.Module):
    """A dense network as Quantus wants one: the logit added up over the mask of one section."""

    def __init__(self, network: torch.nn.Module, mask: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.network(x)[:, 0].double() * self.mask).sum((1, 2))[:, None]


COMMON = {
    "abs": False,
    "normalise": False,
    "return_aggregate": False,
    "disable_warnings": True,
    "perturb_baseline": 0.0,
}


def call(metric, model, x, a):
    return metric(
        model=model,
        x_batch=x[None],
        y_batch=np.array([0]),
        a_batch=a[None],
        channel_first=True,
        softmax=False,
        device="cpu",
    )[0]


def total(model, x):
    with torch.no_grad():
        return float(model(torch.from_numpy(x[None])))


def relative(model, x, level):
    nothing = total(model, np.zeros_like(x))
    return (level - nothing) / abs(total(model, x) - nothing)


def faithfulness_correlation(model, x, a, steps):
    np.random.seed(0)  # noqa: NPY002
    size = x[0].size // steps
    metric = quantus.FaithfulnessCorrelation(subset_size=size, nr_runs=len(x) * steps, **COMMON)
    return call(metric, model, x, a)


def sensitivity_n(model, x, a, steps):
    np.random.seed(0)  # noqa: NPY002
    runs = math.ceil(len(x) * steps / 3)
    sizes = [x[0].size // n for n in (8, 4, 2)]
    metrics = [
        quantus.FaithfulnessCorrelation(subset_size=size, nr_runs=runs, **COMMON) for size in sizes
    ]
    return np.mean([call(metric, model, x, a) for metric in metrics])


def faithfulness_estimate(model, x, a, steps):
    metric = quantus.FaithfulnessEstimate(features_in_step=x[0].size // steps, **COMMON)
    return call(metric, model, x, a)


def monotonicity_correlation(model, x, a, steps):
    metric = quantus.MonotonicityCorrelation(
        features_in_step=x[0].size // steps, nr_samples=1, **{**COMMON, "abs": True}
    )
    return call(metric, model, x, a)


def pixel_flipping(model, x, a, steps):
    metric = quantus.PixelFlipping(
        features_in_step=x[0].size // steps, return_auc_per_sample=True, **COMMON
    )
    return relative(model, x, call(metric, model, x, a) / (len(x) * steps - 1))


def region_perturbation(model, x, a, steps):
    side = math.ceil(math.sqrt(x[0].size / (len(x) * steps)))
    metric = quantus.RegionPerturbation(patch_size=side, regions_evaluation=10**6, **COMMON)
    falls = np.mean(call(metric, model, x, a))
    return falls / abs(total(model, x) - total(model, np.zeros_like(x)))


def selectivity(model, x, a, steps):
    side = math.ceil(math.sqrt(x[0].size / (len(x) * steps)))
    metric = quantus.Selectivity(patch_size=side, **COMMON)
    return relative(model, x, np.mean(call(metric, model, x, a)))


def infidelity(model, x, a, steps):
    """Each square alone: Quantus adds them up, so every one has a call of its own section."""
    side = math.ceil(math.sqrt(x[0].size / (len(x) * steps)))
    low, high = quantus.helpers.utils.get_padding_size(x.shape[1], side)
    whole = total(model, x)
    falls, said = [], []
    for top in range(-low, x.shape[1] + high, side):
        for left in range(-low, x.shape[2] + high, side):
            square = np.s_[:, max(top, 0) : top + side, max(left, 0) : left + side]
            changed = x.copy()
            changed[square] = 0
            falls.append(whole - total(model, changed))
            said.append(float((a[square].astype(float) * x[square]).sum()))
    falls, said = np.array(falls), np.array(said)
    beta = max((falls * said).sum() / (said**2).sum(), 0)
    return ((falls - beta * said) ** 2).sum() / (falls**2).sum()


def slice_removal(model, x, a, steps):
    share = np.abs(a).sum((1, 2), dtype=float)
    order = np.argsort(-share)
    whole, nothing = total(model, x), total(model, np.zeros_like(x))

    def curve(order):
        levels, changed = [], x.copy()
        for s in order[:-1]:
            changed[s] = 0
            levels.append((total(model, changed) - nothing) / (whole - nothing))
        return np.mean(levels)

    return curve(order[::-1]) - curve(order)


METRICS = {
    "faithfulness-correlation": faithfulness_correlation,
    "faithfulness-estimate": faithfulness_estimate,
    "infidelity": infidelity,
    "monotonicity-correlation": monotonicity_correlation,
    "pixel-flipping": pixel_flipping,
    "region-perturbation": region_perturbation,
    "selectivity": selectivity,
    "sensitivity-n": sensitivity_n,
    "slice-removal": slice_removal,
}


def faithfulness(network, x, masks, attributions, metrics, steps):
    """{metric: (N,)} for stacks (N, S, H, W), masks (N, H, W) and attributions (N, S, H, W)."""
    made = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in metrics:
            made[name] = np.array(
                [
                    METRICS[name](MaskedLogit(network, mask).eval(), stack, a, steps)
                    for stack, mask, a in zip(x.numpy(), masks, attributions.numpy(), strict=True)
                ]
            )
    return made
