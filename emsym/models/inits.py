"""Init strategies: how a stem for S slices is filled from one trained on red, green and blue.

A strategy gets W, float (O, 3, kH, kW), and S, odd, and returns (O, S, kH, kW) of the same dtype.
Slices are indexed s = −k … +k in the order of the stack; slice 0 is the centre, index k.
W_R, W_G, W_B are W's colour planes. Definitions: Molnár, Szabó and Horváth, arXiv 2505.14105
(the `uniform-*` family and the baselines `rgb` and `random`); the others are this project's.

Torch is imported only by strategies that draw random numbers: listing them needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class InitStrategy:
    """A fill function, and whether the rest of the encoder keeps its pretrained weights."""

    fill: Callable[[Tensor, int], Tensor]
    pretrained: bool = True


INITS: Registry[InitStrategy] = Registry("init", group="emsym.inits")


def register_init(name: str, *, pretrained: bool = True) -> Callable:
    """Decorate a function (W (O, 3, kH, kW), S) → (O, S, kH, kW) to register it as a strategy.

    With ``pretrained=False`` the whole network starts from scratch.
    Raises `UserError` when the name is taken.
    """
    if not isinstance(name, str):
        raise UserError('A strategy is registered by its name: write @register_init("my-name").')

    def register(fill: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
        summary = (fill.__doc__ or "").strip().split("\n")[0]
        INITS.add(name, InitStrategy(fill, pretrained), summary=summary, depth=2)
        return fill

    return register


def list_inits(pattern: str = "*") -> list[str]:
    """The names of the init strategies that match a shell pattern.

    >>> list_inits("uniform-*")
    ['uniform-blue', 'uniform-green', 'uniform-luminance', 'uniform-mean', 'uniform-red']
    """
    return INITS.names(pattern)


def _everywhere(plane: Tensor, slices: int) -> Tensor:
    """(O, kH, kW) → (O, S, kH, kW), the same in every slice."""
    return plane.unsqueeze(1).repeat(1, slices, 1, 1)


@register_init("rgb")
def rgb(rgb: Tensor, slices: int) -> Tensor:
    """The pretrained weights as they are; S > 3 cycles R, G, B times 3/S, S = 1 sums them.

    What timm's `adapt_input_conv` and segmentation-models-pytorch do; the paper's "ImageNet".
    """
    if slices == 1:
        return rgb.sum(1, keepdim=True)
    return rgb[:, [s % 3 for s in range(slices)]] * (3 / slices)


@register_init("uniform-red")
def uniform_red(rgb: Tensor, slices: int) -> Tensor:
    """The red plane in every slice."""
    return _everywhere(rgb[:, 0], slices)


@register_init("uniform-green")
def uniform_green(rgb: Tensor, slices: int) -> Tensor:
    """The green plane in every slice: the paper's Uniform-Green."""
    return _everywhere(rgb[:, 1], slices)


@register_init("uniform-blue")
def uniform_blue(rgb: Tensor, slices: int) -> Tensor:
    """The blue plane in every slice."""
    return _everywhere(rgb[:, 2], slices)


@register_init("uniform-mean")
def uniform_mean(rgb: Tensor, slices: int) -> Tensor:
    """The mean of the three planes in every slice; S = 3 answers identical slices as RGB did."""
    return _everywhere(rgb.mean(1), slices)


@register_init("uniform-luminance")
def uniform_luminance(rgb: Tensor, slices: int) -> Tensor:
    """The luminance .299 R + .587 G + .114 B (ITU-R BT.601) in every slice."""
    return _everywhere(0.299 * rgb[:, 0] + 0.587 * rgb[:, 1] + 0.114 * rgb[:, 2], slices)


@register_init("mirror")
def mirror(rgb: Tensor, slices: int) -> Tensor:
    """Green in the centre, (R + B)/2 in every other slice: mirrored about the centre."""
    filled = _everywhere((rgb[:, 0] + rgb[:, 2]) / 2, slices)
    filled[:, slices // 2] = rgb[:, 1]
    return filled


@register_init("random-stem")
def random_stem(rgb: Tensor, slices: int) -> Tensor:
    """A fresh Kaiming-normal stem (fan out, ReLU) on the pretrained body."""
    import torch

    fresh = rgb.new_empty(rgb.shape[0], slices, *rgb.shape[2:])
    return torch.nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu")


@register_init("random", pretrained=False)
def random(rgb: Tensor, slices: int) -> Tensor:
    """Nothing pretrained anywhere; the stem as in `random-stem`."""
    return random_stem(rgb, slices)
