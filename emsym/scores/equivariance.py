"""Equivariance: does an attribution method itself treat the slices on either side alike?

The explanation equivariance of Crabbé and van der Schaar 2023, arXiv 2304.06715, for the group of
two that reversing a stack makes: of a network with f(mirror x) = f(x), a method has to give
A(mirror x) = mirror A(x). The network is made exactly so, and every deviation is the method's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from emsym.errors import UserError
from emsym.models.interventions.flip_average import MirrorAverage
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.dense_logits import DenseLogits


@dataclass(frozen=True)
class Equivariance:
    """How far some methods are from equivariance on one network made mirror-symmetric."""

    deviation: dict[str, Tensor]
    """‖A(mirror x) − mirror A(x)‖ / ‖A(x)‖ by method, float64 (N,), at least 0: see `deviation`."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a method has no deviation, by name: it is not defined on the symmetric network."""


def equivariance(
    dense: DenseLogits,
    x: Tensor,
    mask: Tensor,
    names: Sequence[str],
    progress: Callable[[str, int, int], object] = lambda phase, done, total: None,
) -> Equivariance:
    """Measure how far methods are from equivariance on the network's `MirrorAverage`.

    x is (N, S, H, W) and the mask, bool (N, H, W), stays the same. Methods are called with x and
    with the reversed stacks, as anyone would; the scores of a run reverse the network instead
    (`DenseLogits.mirrored`), so that noise drawn for a slice stays with it. Each method takes the
    time of four maps of the network as it is. `progress` is called with a phase, how many methods
    are done and of how many.

    Raises `UserError` for an unknown method.
    """
    symmetric = DenseLogits(
        MirrorAverage(dense.model), dense.channel, differentiable=dense.differentiable
    )
    result = Equivariance({})
    progress("Made symmetric", 0, len(names))
    for done, name in enumerate(names, 1):
        method = ATTRIBUTIONS.get(name)
        try:
            there, back = method(symmetric, x, mask), method(symmetric, x.flip(1), mask)
            result.deviation[name] = deviation(there, back)
        except UserError as error:
            result.refused[name] = str(error)
        progress("Made symmetric", done, len(names))
    return result


def deviation(attribution: Tensor, mirrored: Tensor) -> Tensor:
    """‖A(mirror x) − mirror A(x)‖ / ‖A(x)‖ from A(x) and A(mirror x), two (N, S, H, W) → (N,).

    Euclidean norms over all pixels and slices, with signs. 0 where reversing the stack reverses
    the map, √2 where the two are of equal norm and unrelated, 2 where one is the other's negative;
    float64, without an upper bound. NaN where A(x) is 0 everywhere or either is not finite.
    Crabbé and van der Schaar take the cosine of the two, which two maps of different size leave
    at 1.

    >>> one = torch.tensor([3.0, 0.0, 4.0]).view(1, 3, 1, 1)
    >>> deviation(one, one.flip(1)).tolist(), deviation(one, 2 * one.flip(1)).tolist()
    ([0.0], [1.0])
    """
    there, back = (each.detach().cpu().double() for each in (attribution, mirrored.flip(1)))
    apart, size = (each.flatten(1).norm(dim=1) for each in (back - there, there))
    known = apart.isfinite() & size.isfinite() & (size > 0)
    return torch.where(known, apart / size, torch.nan)
