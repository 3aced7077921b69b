"""Pretrained weights: ``pretext``, ``imagenet``, or a local file; all of them or an error."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pooch

from emsym.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

PRETEXT, IMAGENET = "pretext", "imagenet"
ORIGINS = {
    PRETEXT: "encoders pretrained by emsym on a handful of photographs; not ImageNet",
    IMAGENET: "ImageNet, as published with timm or segmentation-models-pytorch",
}


def weights_path(weights: str, folder: Path) -> Path:
    """The file that `weights` names, relative to `folder`. Raises `UserError` if there is none."""
    path = folder / weights
    if path.suffix not in (".safetensors", ".pt", ".pth") or not path.is_file():
        raise UserError(
            f"There are no weights '{weights}': give 'pretext', 'imagenet' or the path of a "
            ".safetensors, .pt or .pth file."
        )
    return path


def weights_identity(weights: str, folder: Path) -> str:
    """What a record calls the weights' content: a file's SHA-256, or the name of what is made."""
    if weights in ORIGINS:
        return weights
    return f"sha256:{pooch.file_hash(weights_path(weights, folder))}"


def load_weights(model: "nn.Module", weights: str, folder: Path) -> None:
    """Load RGB weights into the encoder of a network, or into a network that has no `encoder`.

    Every tensor of the encoder gets its value, or it is a `UserError` that names the first ones
    that do not fit. Tensors of a classifier that the encoder does not have are left out.
    """
    encoder: nn.Module = getattr(model, "encoder", model)
    if weights == PRETEXT:
        from emsym.models.pretext import pretext_weights

        encoder.load_state_dict(read_state_dict(pretext_weights(_encoder_name(model))))
    elif weights == IMAGENET:
        encoder.load_state_dict(_published(_encoder_name(model)))
    else:
        path = weights_path(weights, folder)
        state = read_state_dict(path)
        if _is_timm(encoder) and not state.keys() & encoder.state_dict().keys():
            _load_timm(encoder, state, path)
        else:
            _load_strictly(encoder, state, path)


def read_state_dict(path: Path) -> "dict[str, Tensor]":
    """The tensors of a .safetensors file or a torch state dict; no pickled code is ever run.

    Raises `UserError` where the file holds anything else.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each kind of damage has its own
        raise UserError(
            f"{path} cannot be read as a state dict: it is damaged, or holds pickled objects, "
            "which are never loaded because they can run code; save the tensors alone with "
            "`safetensors.torch.save_file(model.state_dict(), path)`."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{path} does not hold a state dict: names of tensors, and tensors.")
    return state


def _is_timm(encoder: "nn.Module") -> bool:
    from segmentation_models_pytorch.encoders import TimmUniversalEncoder

    return isinstance(encoder, TimmUniversalEncoder)


def _encoder_name(model: "nn.Module") -> str:
    """The encoder's name as segmentation-models-pytorch's `create_model` takes it."""
    name = getattr(model, "name", "")  # "u-resnet34", "fpn-tu-convnext_tiny"
    encoder = getattr(model, "encoder", None)
    if encoder is None or "-" not in name:
        raise UserError(
            "'pretext' and 'imagenet' weights fit the encoders of segmentation-models-pytorch "
            "alone: give the path of a weights file for another network."
        )
    return name.partition("-")[2]


def _load_strictly(encoder: "nn.Module", state: "dict[str, Tensor]", path: Path) -> None:
    _check(encoder, state, path)
    encoder.load_state_dict({key: state[key] for key in encoder.state_dict()})


def _load_timm(encoder: Any, state: "dict[str, Tensor]", path: Path) -> None:
    """Load the weights of a whole timm model into its features, which have names of their own.

    timm renames them while it loads, but takes whatever fits without complaint, so the whole
    model is held against the weights first.
    """
    import timm

    _check(timm.create_model(encoder.name, num_classes=0), state, path)
    logging.getLogger("timm.models._builder").setLevel(logging.ERROR)  # the head's tensors are left
    features: Any = timm.create_model(
        encoder.name,
        features_only=True,
        out_indices=encoder.model.feature_info.out_indices,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": state},
    )
    encoder.model.load_state_dict(features.state_dict())


def _check(network: "nn.Module", state: "dict[str, Tensor]", path: Path) -> None:
    """Raise `UserError` where a tensor of the network is missing or has another shape."""
    own = network.state_dict()
    wrong = [
        f"{key} is {tuple(state[key].shape)} and must be {tuple(own[key].shape)}"
        if key in state
        else f"{key} is missing"
        for key in own
        if key not in state or state[key].shape != own[key].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"The weights of {path} do not fit {type(network).__name__}: "
            f"{'; '.join(wrong[:3])}{more}."
        )


def _published(encoder: str) -> "dict[str, Tensor]":
    from segmentation_models_pytorch.encoders import get_encoder

    try:
        pretrained = get_encoder(encoder, weights=True if "tu-" in encoder else IMAGENET)
    except Exception as error:  # each of the hub's layers has its own
        raise UserError(
            f"The ImageNet weights of '{encoder}' cannot be had ({type(error).__name__}): check "
            "the network, or give the path of a weights file, or 'pretext'."
        ) from error
    return pretrained.state_dict()
