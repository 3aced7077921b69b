"""Architectures: decoder × encoder of segmentation-models-pytorch, or any plug-in network.

Names are ``decoder-encoder`` in the words of segmentation-models-pytorch, where ``tu-`` marks an
encoder of timm: ``unet-resnet34``, ``fpn-tu-convnext_tiny``. Listing them imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.models.inits import INITS
from emsym.registry import Registry

if TYPE_CHECKING:
    from torch import nn

DECODERS = ("unet", "unetplusplus", "manet", "linknet", "fpn", "deeplabv3plus", "upernet")
ENCODERS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "densenet121",
    "mobilenet_v2",
    "tu-mobilenetv2_100",
    "tu-test_resnet",
    "tu-test_efficientnet",
)
"""What is listed; any other encoder of segmentation-models-pytorch or timm works as well."""

Factory = Callable[[], "nn.Module"]


def _smp(name: str) -> Factory | None:
    """A factory for a name that follows the pattern, or None."""
    decoder, _, encoder = name.partition("-")
    if decoder not in DECODERS or not encoder:
        return None

    def build() -> nn.Module:
        import segmentation_models_pytorch as smp
        import timm

        known = smp.encoders.get_encoder_names()
        if encoder.startswith("tu-"):
            known = [f"tu-{name}" for name in timm.list_models()]
        if encoder not in known:
            near = get_close_matches(encoder, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "see its documentation."
            raise UserError(
                f"There is no encoder '{encoder}' for the architecture '{name}'; {hint}"
            )
        try:
            return smp.create_model(
                decoder, encoder, encoder_weights=None, in_channels=3, classes=1
            )
        except ValueError as error:  # not every encoder can be dilated, say
            raise UserError(f"The architecture '{name}' cannot be built: {error}") from error

    return build


ARCHITECTURES: Registry[Factory] = Registry(
    "architecture", group="emsym.architectures", resolve=_smp
)

for _decoder in DECODERS:
    for _encoder in ENCODERS:
        if (_decoder, _encoder) == ("deeplabv3plus", "densenet121"):
            continue  # DenseNets cannot be dilated
        _factory = _smp(f"{_decoder}-{_encoder}")
        assert _factory is not None
        ARCHITECTURES.add(f"{_decoder}-{_encoder}", _factory, summary="segmentation-models-pytorch")


def register_architecture(name: str) -> Callable[[Factory], Factory]:
    """Decorate a function () → network to register it as an architecture.

    The network reads (N, 3, H, W) and gives the logit of the foreground, (N, 1, H, W).
    Raises `UserError` when the name is taken.
    """

    def register(factory: Factory) -> Factory:
        summary = (factory.__doc__ or "").strip().split("\n")[0]
        ARCHITECTURES.add(name, factory, summary=summary, depth=2)
        return factory

    return register


def list_architectures(pattern: str = "*") -> list[str]:
    """The names of the architectures that match a shell pattern.

    >>> list_architectures("unet-tu-test_*")
    ['unet-tu-test_efficientnet', 'unet-tu-test_resnet']
    """
    return ARCHITECTURES.names(pattern)


def create_model(
    name: str,
    init: str = "rgb",
    slices: int = 3,
    weights: str | None = None,
    seed: int = 0,
) -> nn.Module:
    """A network that reads a stack (N, S, H, W) and gives the central slice's logit, (N, 1, H, W).

    `weights` is ``pretext``, ``imagenet``, a file, or None for none; whatever is not pretrained
    is initialised from `seed`, alike for all strategies, so that strategies can be compared in
    pairs. Raises `UserError` for an unknown name, an even or non-positive `slices`, weights that
    do not fit, and a network whose stem cannot be filled.
    """
    import torch

    from emsym.models.stem import fill_stem
    from emsym.models.weights import load_weights

    if slices < 1 or slices % 2 == 0:
        raise UserError(f"A slice stack has an odd number of slices, not {slices}.")
    strategy = INITS.get(init)
    torch.manual_seed(seed)
    model = ARCHITECTURES.get(name)()
    if strategy.pretrained and weights is not None:
        load_weights(model, weights, Path())
    fill_stem(model, init, strategy, slices)
    return model
