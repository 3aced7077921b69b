"""Attributions that add up gradients at points around x, with the passes that they share.

Each is a sum over points p_j(x) of a term of x and ∂T/∂x there: saliency and input × gradient have
one point, x itself, and so share it. For several masks a network's forward pass is done once.
The same numbers as captum's, which takes the passes of each method and mask by itself.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from emsym.scores.attribution.low_memory import Lean
from emsym.scores.dense_logits import DenseLogits

SEED = 0
"""The seed of the noise: every stack gets the same draws, so that no score depends on another."""

STEPS = 50
SAMPLES = 25
NOISE = 0.15
"""Standard deviation of SmoothGrad's noise, as a part of the stack's range (Smilkov et al. take
.1 to .2)."""


@dataclass(frozen=True)
class Points:
    """Points around x at which gradients are taken, numbered by j < `count`."""

    count: int
    at: Callable[[Tensor, Tensor], Tensor]
    """(x (n, S, H, W), j (n,)) → the points, (n, S, H, W)."""
    weight: Callable[[Tensor], Tensor] = lambda j: torch.ones(len(j), 1, 1, 1, device=j.device)
    """j (n,) → how much the gradients there count, (n, 1, 1, 1), where they do not count alike."""
    level: Callable[[Tensor], Tensor] = lambda j: torch.zeros(len(j), 1, 1, 1, device=j.device)
    """j (n,) → the grey level that the points lie towards, (n, 1, 1, 1)."""


@dataclass(frozen=True)
class At:
    """Where the gradients of one pass were taken: the facts of its `Points`."""

    count: int
    weight: Tensor
    level: Tensor


class _Method(Protocol):
    """A gradient method: `emsym.scores.attribution.methods.GradientMethod`."""

    @property
    def points(self) -> str:
        """A name of `POINTS`."""

    @property
    def term(self) -> Callable[[Tensor, Tensor, At], Tensor]:
        """(x (n, S, H, W), gradients (K, n, S, H, W), where) → what is added up, (K, n, …)."""


def _itself(x: Tensor, j: Tensor) -> Tensor:
    return x


def _rows(values: Tensor, j: Tensor) -> Tensor:
    """One number for each row of a batch, to multiply (n, S, H, W) with."""
    return values.to(j.device)[j].view(-1, 1, 1, 1)


_nodes, _weights = np.polynomial.legendre.leggauss(STEPS)  # captum's default quadrature
_ALPHA = torch.tensor((1 + _nodes) / 2, dtype=torch.float32)
_WEIGHT = torch.tensor(_weights / 2, dtype=torch.float32)


KEPT = 2**22
"""Values of noise that are kept; of larger stacks they are drawn again for each pass."""


def _draws(shape: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """SAMPLES times the generator's state and the standard normal (S, H, W) that it then gives.

    As captum's `NoiseTunnel` draws it after this seed, where S·H·W is a multiple of 16.
    """
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(SAMPLES):
        yield generator.get_state(), torch.randn(shape, generator=generator)


@lru_cache(maxsize=1)
def _noise(shape: tuple[int, ...], device: torch.device) -> Callable[[list[int]], Tensor]:
    """Return a function that gives the samples of these numbers, (n, S, H, W)."""
    if SAMPLES * math.prod(shape) <= KEPT:
        kept = torch.stack([drawn for _, drawn in _draws(shape)]).to(device)
        return lambda numbers: kept[numbers]
    states = [state for state, _ in _draws(shape)]

    def again(number: int) -> Tensor:
        generator = torch.Generator()
        generator.set_state(states[number])
        return torch.randn(shape, generator=generator)

    return lambda numbers: torch.stack([again(number) for number in numbers]).to(device)


def _noisy(x: Tensor, j: Tensor) -> Tensor:
    sd = NOISE * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    return x + sd * _noise(tuple(x.shape[1:]), x.device)(j.tolist())


_generator = torch.Generator().manual_seed(SEED)
_GREY = torch.randn(SAMPLES, generator=_generator)
"""Levels of uniformly grey stacks, in standard deviations of the training split's grey levels."""
_BETWEEN = torch.rand(SAMPLES, generator=_generator)


def _towards_grey(x: Tensor, j: Tensor) -> Tensor:
    return _rows(_GREY, j) + _rows(_BETWEEN, j) * (x - _rows(_GREY, j))


POINTS = {
    "itself": Points(1, _itself),
    "path": Points(STEPS, lambda x, j: _rows(_ALPHA, j) * x, weight=lambda j: _rows(_WEIGHT, j)),
    "noisy": Points(SAMPLES, _noisy),
    "towards-grey": Points(SAMPLES, _towards_grey, level=lambda j: _rows(_GREY, j)),
}
"""x itself; the nodes of a quadrature from the training mean to x; noisy copies of x; and random
points between x and uniformly grey stacks."""


def attribute(dense: DenseLogits, x: Tensor, mask: Tensor, method: _Method) -> Tensor:
    """A(x), (N, S, H, W), of one method for one mask, (N, H, W)."""
    return attribute_all(dense, x, mask[None], {"": method})[""][0]


def attribute_all(
    dense: DenseLogits,
    x: Tensor,
    masks: Tensor,
    methods: Mapping[str, _Method],
    at_x: Tensor | None = None,
) -> dict[str, Tensor]:
    """A(x), (K, N, S, H, W), of several methods by their names for K masks, (K, N, H, W) bool.

    `at_x` is ∂T/∂x, (K, N, S, H, W), where it is known already. The passes of all methods go
    through the network together; of each, K backward ones follow one forward.
    """
    made = {name: x.new_zeros(len(masks), *x.shape) for name in methods}
    kinds = dict.fromkeys(method.points for method in methods.values())
    if at_x is not None:
        first = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for name, method in methods.items():
            if method.points == "itself":
                made[name] = _term(method, x, first, at_x)
        kinds.pop("itself", None)
    points = [(kind, j) for kind in kinds for j in range(POINTS[kind].count)]
    rows = [(image, number) for image in range(len(x)) for number in range(len(points))]

    def run(part: slice) -> Tensor:
        images = torch.tensor([image for image, _ in rows[part]], device=x.device)
        stacks = torch.empty_like(x[images])
        for kind, chosen, j in _by_kind([points[n] for _, n in rows[part]], x.device):
            stacks[chosen] = POINTS[kind].at(x[images[chosen]], j)
        return gradients(dense, stacks, masks[:, images])[1]

    pixels = x.shape[-1] * x.shape[-2]
    for part, gradients_of_part in dense.in_chunks(run, len(rows), pixels):
        for offset, (image, number) in enumerate(rows[part]):
            kind, which = points[number]
            j = torch.tensor([which], device=x.device)
            one = slice(image, image + 1)
            for name, method in methods.items():
                if method.points == kind:
                    term = _term(method, x[one], j, gradients_of_part[:, offset : offset + 1])
                    made[name][:, one] += term
    return made


def _term(method: _Method, x: Tensor, j: Tensor, gradient: Tensor) -> Tensor:
    points = POINTS[method.points]
    return method.term(x, gradient, At(points.count, points.weight(j), points.level(j)))


def _by_kind(
    points: list[tuple[str, int]], device: torch.device
) -> list[tuple[str, Tensor, Tensor]]:
    """(kind, which of the points are of it, their j) for each kind among the points."""
    parts = []
    for kind in dict.fromkeys(kind for kind, _ in points):
        chosen = [at for at, (other, _) in enumerate(points) if other == kind]
        j = [points[at][1] for at in chosen]
        parts.append((kind, torch.tensor(chosen, device=device), torch.tensor(j, device=device)))
    return parts


def gradients(
    dense: DenseLogits, x: Tensor, masks: Tensor | Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The logits of x, (n, C, H, W), and ∂T/∂x for K masks, (K, n, S, H, W): one forward pass.

    `masks` is (K, n, H, W) bool, or a function that makes it from the logits.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        with Lean():
            outputs = dense.outputs(x)
        chosen = masks(outputs.detach()) if callable(masks) else masks
        logit = outputs[:, dense.channel]
        gradients_of_targets = [
            torch.autograd.grad(logit, x, mask.to(logit.dtype), retain_graph=k + 1 < len(chosen))[0]
            for k, mask in enumerate(chosen)
        ]
    return outputs.detach(), torch.stack(gradients_of_targets)
