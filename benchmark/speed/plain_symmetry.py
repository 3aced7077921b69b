"""The plain way to the symmetry scores: captum image by image and method by method, its defaults.

What a careful person writes in an hour. The same definitions, hence the same numbers: targets are
fixed masks, SmoothGrad's noise is the same on the same slice of a stack and its mirror image.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from captum.attr import InputXGradient, IntegratedGradients, NoiseTunnel, Saliency, ShapleyValues
from torch import Tensor, nn

METHODS = ("saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "slice-shapley")


def attribute(name: str, total: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A(x), (1, S, H, W), of T = total(x); for slice-shapley (1, S, 1, 1)."""
    if name == "saliency":
        return Saliency(total).attribute(x)
    if name == "input-x-gradient":
        return InputXGradient(total).attribute(x)
    if name == "integrated-gradients":
        return IntegratedGradients(total).attribute(x, n_steps=50)
    if name == "smoothgrad":
        torch.manual_seed(0)
        sd = float(0.15 * (x.max() - x.min()))
        return NoiseTunnel(Saliency(total)).attribute(x, nt_samples=25, stdevs=sd)
    slices = torch.arange(x.shape[1]).view(1, -1, 1, 1).repeat(1, 1, *x.shape[2:]).to(x.device)
    with torch.no_grad():
        values = ShapleyValues(total).attribute(x, feature_mask=slices)
    return values[:, :, :1, :1]


def scores(model: nn.Module, stacks: Tensor, threshold: float = 0.5) -> dict[str, np.ndarray]:
    """Every symmetry score of every stack of (N, 3, H, W), by its name, (N,)."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for x in stacks.split(1):
        with torch.no_grad():
            p, q = model(x).sigmoid(), model(x.flip(1)).sigmoid()
        mask, other = p > threshold, q > threshold
        note("flip_error", float((p - q).abs().double().mean()))
        note("flip_dice", float(2 * (mask & other).sum() / (mask.sum() + other.sum())))
        note("pixels", float(mask.sum()))

        def total(stack: Tensor, mask: Tensor = mask) -> Tensor:
            return (model(stack) * mask).sum((1, 2, 3))

        def reversed_total(stack: Tensor, mask: Tensor = mask) -> Tensor:
            return total(stack.flip(1), mask)

        for name in METHODS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # captum's, that it sets requires_grad
                a = attribute(name, total, x.clone().requires_grad_()).detach().double()
                b = attribute(name, reversed_total, x.clone().requires_grad_()).detach().double()
            if name == "slice-shapley":
                for s, value in zip((-1, 0, 1), a.flatten().tolist(), strict=True):
                    note(f"{name}/slice_shapley[{s:+d}]", value)
            a, b = a.abs(), b.abs()  # b lies on the slices of x, so that mirror b is A(mirror x)
            share, back = (v.sum((0, 2, 3)) / v.sum() for v in (a, b.flip(1)))
            for s, value in zip((-1, 0, 1), share.tolist(), strict=True):
                note(f"{name}/slice_share[{s:+d}]", value)
            note(f"{name}/imbalance", float(0.75 * (share - 1 / 3).abs().sum()))
            here, there = (float((v[2] - v[0]) / (v[2] + v[0])) for v in (share, back))
            note(f"{name}/neighbour_asymmetry", here)
            note(f"{name}/model_asymmetry", (here + there) / 2)
            note(f"{name}/data_asymmetry", (here - there) / 2)
            if name != "slice-shapley":
                note(f"{name}/mirror_distance", float((a - b).abs().sum() / (a + b).sum()))
    return {name: np.array(values) for name, values in found.items()}
