"""Folders of segmentation-models-pytorch's `save_pretrained`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, first_names
from emsym.models.architectures import check_encoder
from emsym.models.packaged.package import DescribedOption, Package, cannot_be_built, check_size

if TYPE_CHECKING:
    from torch import nn

CLASS = "_model_class"
"""The key of a config.json that names the class."""
_ACTIVATIONS = {"sigmoid": "sigmoid", "softmax": "softmax", "softmax2d": "softmax"}
_REPLACED = {"encoder_weights": None, "aux_params": None, "activation": None}
"""Options that are set aside: nothing is fetched, and the network gives its logits alone."""


def smp_package(config: dict[str, Any], description: Path, weights: Path) -> Package:
    """Return the network that a config.json describes, whose weights lie in a file.

    It is built without a last activation or a classification head. Raises `UserError` for a class
    that is none of segmentation-models-pytorch, and options or an encoder that it does not have.
    """
    import segmentation_models_pytorch as smp

    classes = {each.__name__: each for each in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    name = config[CLASS]
    if not isinstance(name, str) or name not in classes:
        raise UserError(
            f"{description} names the class {first_names([name])}, and segmentation-models-pytorch "
            f"has {', '.join(classes)}."
        )
    options = {key: value for key, value in config.items() if not key.startswith("_")}
    known = [
        parameter.name
        for parameter in inspect.signature(classes[name]).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    # what is passed on to timm's own constructors may name files
    if unknown := sorted(options.keys() - known):
        raise UserError(
            f"{description} has options that {name} does not, {first_names(unknown)}: give the "
            "weights with --model FILE.py:NAME, a function of yours that returns the network."
        )
    activation = options.get("activation")
    if activation is not None and activation not in [*_ACTIVATIONS]:
        raise UserError(
            f"{description} ends the network in the activation {first_names([activation])}, of "
            "which emsym does not know what it gives: give the weights with --model FILE.py:NAME, "
            "a function of yours that returns the network."
        )
    encoder = str(options.get("encoder_name", "resnet34"))
    check_encoder(encoder.partition(".")[0], name)  # without the tag of timm's weights
    build = partial(classes[name], **options | _REPLACED)
    factory = partial(_built, build, weights, description)
    return Package(weights, name, factory, options=_described(activation))


def _built(build: Callable[[], nn.Module], weights: Path, description: Path) -> nn.Module:
    check_size(build, weights, description)
    try:
        return build()
    except Exception as error:  # whatever the library raises for values that it does not take
        raise cannot_be_built(description, error) from error


def _described(activation: str | None) -> tuple[DescribedOption, ...]:
    if activation is None:
        return ()
    values = {"activation": _ACTIVATIONS[activation], "probabilities": None}
    sentence = f"The {_ACTIVATIONS[activation]} at the network's end was left out: it gives logits."
    return (DescribedOption(values, sentence),)
