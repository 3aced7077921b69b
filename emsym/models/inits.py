"""Init strategies: how a stem for S slices is filled from one trained on red, green and blue.

A strategy gets W, float (O, 3, kH, kW), and S, odd, and returns (O, S, kH, kW) of the same dtype.
Slices are indexed s = −k … +k in the order of the stack; slice 0 is the centre, index k.
W_R, W_G, W_B are W's colour planes. Definitions: Molnár, Szabó and Horváth, arXiv 2505.14105
(the `uniform-*` family but `uniform-svd`, and the baselines `rgb` and `random`); the others are
this project's, or as their docstrings say.

Torch is imported only by strategies that draw random numbers: listing them needs none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from emsym.errors import UserError
from emsym.models.interventions import shipped
from emsym.models.interventions.registry import INTERVENTIONS, check_together, order_of_action
from emsym.protocol import json_digest
from emsym.registry import Registry
from emsym.scores.score import BASELINE

if TYPE_CHECKING:
    from torch import Tensor


Fill = Callable[..., "Tensor"]
Gain = Literal["copy", "preserve"]
PRESERVE = "-preserve"
"""The suffix of the name of a strategy with the gain `preserve`."""


@dataclass(frozen=True)
class InitStrategy:
    """A fill function, whether the rest of the encoder keeps its pretrained weights, and the gain.

    The gain `copy` takes the filled weights as they are; `preserve` scales each output filter so
    that its L2 norm, all slices together, is that of the filter in W.
    """

    fill: Fill
    pretrained: bool = True
    gain: Gain = "copy"
    colours: bool = True
    """Whether it tells red, green and blue apart, so that weights of one channel cannot serve."""
    spaced: bool = False
    """Whether the fill takes a third argument, the distance of sections in nm."""

    def at(self, spacing_nm: float | None, name: str) -> InitStrategy:
        """Return the strategy `name` for sections of this distance.

        Raises `UserError` where it needs the distance and there is none.
        """
        if not self.spaced:
            return self
        if spacing_nm is None:
            raise UserError(
                f"The init '{name}' depends on how far sections are apart: give that in nm, as "
                "spacing_nm."
            )
        if isinstance(spacing_nm, bool) or not isinstance(spacing_nm, int | float):
            raise UserError(f"The distance of sections is a number of nm, not {spacing_nm!r}.")
        if not 0 < spacing_nm < math.inf:
            raise UserError(f"Sections are some nm apart, and not {spacing_nm} nm.")
        return replace(self, fill=lambda rgb, slices: self.fill(rgb, slices, spacing_nm))


@dataclass(frozen=True)
class Init:
    """A strategy with interventions, such as ``uniform-green+mirror-tied``.

    `strategy_name` is the part before the first ``+``.
    """

    name: str
    strategy_name: str
    strategy: InitStrategy
    interventions: tuple[str, ...] = ()


INITS: Registry[InitStrategy] = Registry("init", group="emsym.inits")


def parse_init(name: str) -> Init:
    """Return the strategy and the interventions of a name: STRATEGY[-preserve][+INTERVENTION …].

    Raises `UserError` for an unknown strategy or intervention, one named twice, and another order.

    >>> parse_init("mirror-preserve+mirror-tied").interventions
    ('mirror-tied',)
    """
    if not isinstance(name, str):
        raise UserError(f"An init is named, as in 'uniform-green', and not {name!r}.")
    chosen, *interventions = name.split("+")
    if (plain := chosen.removesuffix(PRESERVE)) in INITS.names():
        INITS.get(plain)  # a plug-in's variant is registered when the plug-in is imported
    strategy = INITS.get(chosen)
    for intervention in interventions:
        INTERVENTIONS.get(intervention)  # or it says that there is none of that name
    ordered = order_of_action([*dict.fromkeys(interventions)])
    check_together(name, ordered)
    if interventions != ordered:
        # one name for one thing, lest a leaderboard list it twice
        raise UserError(f"Write the init '{name}' as '{'+'.join([chosen, *ordered])}'.")
    if chosen in (BASELINE, "timm", "smp") and interventions == [shipped.DISTIL]:
        raise UserError(
            f"The init '{name}' would teach a network what it is itself, as the teacher is "
            f"'{BASELINE}': take another strategy, such as 'uniform-green+{shipped.DISTIL}'."
        )
    return Init(name, chosen, strategy, tuple(interventions))


def init_source(name: str) -> str | None:
    """SHA-256 of the source of an init, None where all of it is emsym's; raises as parsing.

    It is that of the strategy's plug-in where no intervention comes from one.
    """
    chosen = parse_init(name)
    strategy = INITS.source_digest(chosen.strategy_name)
    sources = {each: INTERVENTIONS.source_digest(each) for each in chosen.interventions}
    if not any(sources.values()):
        return strategy
    return json_digest({chosen.strategy_name: strategy, **sources})


def preserve_norms(filled: Tensor, rgb: Tensor) -> Tensor:
    """Scale each filter of `filled` (O, S, kH, kW) to its L2 norm in `rgb` (O, 3, kH, kW).

    A filter of zeros stays one.
    """
    norms = filled.flatten(1).norm(dim=1)
    gain = rgb.flatten(1).norm(dim=1) / norms.where(norms > 0, norms.new_ones(()))
    return filled * gain.view(-1, 1, 1, 1)


def register_init(
    name: str, *, pretrained: bool = True, colours: bool = True, spaced: bool = False
) -> Callable[[Fill], Fill]:
    """Decorate a function (W (O, 3, kH, kW), S) → (O, S, kH, kW) to register it as a strategy.

    Its variant with the gain `preserve` is registered as well, as NAME-preserve.
    With ``pretrained=False`` the whole network starts from scratch. ``colours=False`` says that it
    takes the three planes alike, and so goes with weights of one channel. With ``spaced=True`` the
    function gets the distance of sections in nm, float, as a third argument.
    Raises `UserError` when the name is taken.
    """
    if not isinstance(name, str):
        raise UserError('A strategy is registered by its name: write @register_init("my-name").')

    def register(fill: Fill) -> Fill:
        summary = (fill.__doc__ or "").strip().split("\n")[0]
        strategy = InitStrategy(fill, pretrained, colours=colours, spaced=spaced)
        INITS.add(name, strategy, summary=summary, depth=2)
        if pretrained:
            variant = replace(strategy, gain="preserve")
            told = f"{name}, each filter scaled to the norm that it was pretrained to."
            INITS.add(f"{name}{PRESERVE}", variant, summary=told, depth=2)
        return fill

    return register


def list_inits(pattern: str = "*") -> list[str]:
    """Return the names of the init strategies that match a shell pattern.

    >>> list_inits("uniform-*n*")
    ['uniform-green', 'uniform-green-preserve', 'uniform-luminance', ...]
    """
    return INITS.names(pattern)


def _in_every_slice(plane: Tensor, slices: int) -> Tensor:
    """(O, kH, kW) → (O, S, kH, kW), the same in every slice."""
    return plane.unsqueeze(1).repeat(1, slices, 1, 1)


@register_init("rgb")
def rgb(rgb: Tensor, slices: int) -> Tensor:
    """The pretrained weights as they are; S > 3 cycles R, G, B times 3/S, S = 1 sums them.

    So do timm's `adapt_input_conv` and segmentation-models-pytorch; it is the paper's "ImageNet".
    """
    if slices == 1:
        return rgb.sum(1, keepdim=True)
    return rgb[:, [s % 3 for s in range(slices)]] * (3 / slices)


@register_init("timm")
def timm(rgb: Tensor, slices: int) -> Tensor:
    """Timm's own fill for another number of channels, by its own code; see `rgb`."""
    from timm.models import adapt_input_conv

    return adapt_input_conv(slices, rgb)


@register_init("smp")
def smp(rgb: Tensor, slices: int) -> Tensor:
    """The fill of segmentation-models-pytorch for another number of channels, by its own code."""
    import torch
    from segmentation_models_pytorch.encoders._utils import patch_first_conv

    if slices == 3:  # then it leaves them as they are; its code would round float64
        return rgb.clone()
    kernel = (rgb.shape[2], rgb.shape[3])
    stem = torch.nn.Conv2d(3, rgb.shape[0], kernel, bias=False, device="meta")  # draws no numbers
    stem.weight = torch.nn.Parameter(rgb.clone(), requires_grad=False)
    patch_first_conv(stem, slices, pretrained=True)
    return stem.weight.detach().to(rgb.dtype)


@register_init("uniform-red")
def uniform_red(rgb: Tensor, slices: int) -> Tensor:
    """The red plane in every slice."""
    return _in_every_slice(rgb[:, 0], slices)


@register_init("uniform-green")
def uniform_green(rgb: Tensor, slices: int) -> Tensor:
    """The green plane in every slice: the paper's Uniform-Green."""
    return _in_every_slice(rgb[:, 1], slices)


@register_init("uniform-blue")
def uniform_blue(rgb: Tensor, slices: int) -> Tensor:
    """The blue plane in every slice."""
    return _in_every_slice(rgb[:, 2], slices)


@register_init("uniform-mean", colours=False)
def uniform_mean(rgb: Tensor, slices: int) -> Tensor:
    """The mean of the three planes in every slice; S = 3 answers identical slices as RGB did."""
    return _in_every_slice(rgb.mean(1), slices)


@register_init("uniform-luminance")
def uniform_luminance(rgb: Tensor, slices: int) -> Tensor:
    """The luminance .299 R + .587 G + .114 B (ITU-R BT.601) in every slice."""
    return _in_every_slice(0.299 * rgb[:, 0] + 0.587 * rgb[:, 1] + 0.114 * rgb[:, 2], slices)


@register_init("mirror")
def mirror(rgb: Tensor, slices: int) -> Tensor:
    """Green in the centre, (R + B)/2 in every other slice: mirrored about the centre."""
    filled = _in_every_slice((rgb[:, 0] + rgb[:, 2]) / 2, slices)
    filled[:, slices // 2] = rgb[:, 1]
    return filled


def _in_order(order: str) -> Fill:
    """Return the fill that cycles the planes in this order of the letters r, g and b."""
    planes = ["rgb".index(letter) for letter in order]

    def ordered(weights: Tensor, slices: int) -> Tensor:
        return rgb(weights[:, planes], slices)

    ordered.__doc__ = (
        f"As `rgb`, the planes in the order {', '.join(order.upper())}: is it the colour that "
        "biases, or the place?"
    )
    return ordered


ORDERS = ("rbg", "grb", "gbr", "brg", "bgr")
"""The orders of the three planes beside `rgb`, which mean nothing to a single slice."""

for _order in ORDERS:
    register_init(_order)(_in_order(_order))


@register_init("average", colours=False)
def average(rgb: Tensor, slices: int) -> Tensor:
    """The mean of the three planes over S in every slice, as I3D inflates filters.

    So that S equal slices are answered as one was by the mean plane (Carreira and Zisserman,
    arXiv 1705.07750).
    """
    return _in_every_slice(rgb.mean(1) / slices, slices)


@register_init("mean-rescale", colours=False)
def mean_rescale(rgb: Tensor, slices: int) -> Tensor:
    """The mean of the three planes × 3/S in every slice: S equal slices are answered as RGB were.

    So does ultralytics' fill of another number of channels; for S = 3 it is `uniform-mean`.
    """
    return _in_every_slice(rgb.mean(1) * (3 / slices), slices)


@register_init("centre-only", colours=False)
def centre_only(rgb: Tensor, slices: int) -> Tensor:
    """The sum of the three planes in the centre, zeros elsewhere: a network of one slice at first.

    It answers a grey section as the RGB network did.
    """
    filled = _in_every_slice(rgb.new_zeros(()).expand(rgb[:, 0].shape), slices)
    filled[:, slices // 2] = rgb.sum(1)
    return filled


@register_init("zero-fill")
def zero_fill(rgb: Tensor, slices: int) -> Tensor:
    """R, G and B in the first three slices, zeros in all others; S = 1 sums them.

    So does fastai's `_update_first_layer`, which thinks of channels and not of a stack.
    """
    if slices == 1:
        return rgb.sum(1, keepdim=True)
    filled = _in_every_slice(rgb.new_zeros(()).expand(rgb[:, 0].shape), slices)
    filled[:, :3] = rgb
    return filled


@register_init("difference", colours=False)
def difference(rgb: Tensor, slices: int) -> Tensor:
    """Twice the sum of the planes in the centre, less half of it on either side.

    The centre, less half of the second difference along z: equal slices are answered as RGB were,
    and what changes from slice to slice is sharpened. Zeros in slices further off; the sum alone
    for S = 1.
    """
    filled, centre = centre_only(rgb, slices), slices // 2
    if slices > 1:
        for side in (centre - 1, centre + 1):
            filled[:, side] = -filled[:, centre] / 2
        filled[:, centre] *= 2
    return filled


@register_init("uniform-svd", colours=False)
def uniform_svd(rgb: Tensor, slices: int) -> Tensor:
    """The one pattern that fits a filter's three planes best, in every slice.

    Of the planes as a matrix (3, kH·kW) = Σ σ u vᵀ it is σ₁ v₁/√3, the best of rank one (Eckart
    and Young 1936, Psychometrika 1, 211-218), with the sign that the planes have together: that
    of Σ u₁, by which a filter answers grey. Planes of colour-opponent filters, which cancel each
    other in their mean, keep their size so.
    """
    import torch

    planes = rgb.flatten(2)
    u, size, pattern = torch.linalg.svd(planes.double(), full_matrices=False)
    sign = torch.where(u[:, :, 0].sum(1) < 0, -1.0, 1.0)
    best = (sign * size[:, 0] / 3**0.5).unsqueeze(1) * pattern[:, 0]
    return _in_every_slice(best.to(rgb.dtype).reshape(rgb[:, 0].shape), slices)


WIDTH_NM = 50.0
"""The width of `gaussian` and `triangular` along z, in nm: about what a membrane cut at a slant
stays in place. This project's choice."""


def _weighted(rgb: Tensor, weights: Sequence[float]) -> Tensor:
    """Give slice s the mean plane × 3 w_s / Σw: equal slices are answered as RGB were."""
    share = rgb.new_tensor(weights)
    share = 3 * share / share.sum()
    return _in_every_slice(rgb.mean(1), len(weights)) * share.view(1, -1, 1, 1)


@register_init("gaussian", colours=False, spaced=True)
def gaussian(rgb: Tensor, slices: int, spacing_nm: float) -> Tensor:
    """The mean plane, less in slices further off: exp(−z²/2σ²) at z nm, σ = 50 nm.

    Scaled so that equal slices are answered as RGB were.
    """
    offsets = [spacing_nm * (s - slices // 2) / WIDTH_NM for s in range(slices)]
    return _weighted(rgb, [math.exp(-(z**2) / 2) for z in offsets])


@register_init("triangular", colours=False, spaced=True)
def triangular(rgb: Tensor, slices: int, spacing_nm: float) -> Tensor:
    """The mean plane, less in slices further off: 1 − |z|/100 nm at z nm, and 0 beyond.

    Scaled so that equal slices are answered as RGB were.
    """
    offsets = [spacing_nm * (s - slices // 2) / WIDTH_NM for s in range(slices)]
    return _weighted(rgb, [max(0.0, 1 - abs(z) / 2) for z in offsets])


@register_init("random-stem", colours=False)
def random_stem(rgb: Tensor, slices: int) -> Tensor:
    """A fresh Kaiming-normal stem (fan out, ReLU) on the pretrained body."""
    import torch

    fresh = rgb.new_empty(rgb.shape[0], slices, *rgb.shape[2:])
    return torch.nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu")


@register_init("random", pretrained=False, colours=False)
def random(rgb: Tensor, slices: int) -> Tensor:
    """Nothing pretrained anywhere; the stem as in `random-stem`."""
    return random_stem(rgb, slices)
