"""Pretrained weights: ``pretext``, ``imagenet``, any name of timm, or a file; whole or an error.

A record names them by `LoadedWeights`. Planning imports this module, so it imports no torch.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from emsym.errors import UserError, first_names
from emsym.models.pretrained.checkpoint import SUFFIXES, read_state_dict
from emsym.models.pretrained.hub import IMAGENET, published_weights
from emsym.models.pretrained.licence import licence_of_file, licence_of_timm
from emsym.models.pretrained.tensor_names import best_match, encoder_of, is_timm_encoder

if TYPE_CHECKING:
    from torch import Tensor, nn

PRETEXT = "pretext"
ORIGINS = {
    PRETEXT: "encoders pretrained by emsym on a handful of photographs; not ImageNet",
    IMAGENET: "ImageNet, as published with timm or segmentation-models-pytorch",
}
TIMM_NAME = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
"""The form of timm's names of weights, ``resnet50.a1_in1k``, as planning imports no timm."""


@dataclass(frozen=True)
class LoadedWeights:
    """The identity of the weights that a network got.

    `tag` is ``pretext``, timm's ``architecture.tag``, ``repository@revision`` for
    segmentation-models-pytorch, or a file's name. `digest` is that of the encoder's tensors
    (`state_digest`), the same whichever way they came.
    """

    tag: str
    digest: str
    grey: bool = False
    """Whether they read one channel, as those pretrained on micrographs do: it is then a third of
    each colour."""
    licence: str | None = None
    """As timm or the file names it; None where neither does."""


def weights_path(weights: str, folder: Path) -> Path:
    """Return the file that `weights` names, relative to `folder`; raise `UserError` if none."""
    path = folder / weights
    if path.suffix not in SUFFIXES or not path.is_file():
        raise UserError(
            f"There are no weights '{weights}', nor is there a file {path}: give 'pretext', "
            "'imagenet', a name of timm such as 'resnet50.a1_in1k', or the path of a .safetensors, "
            ".pt or .pth file, or of a folder with one for each encoder."
        )
    return path


def load_weights(
    model: nn.Module, weights: str, folder: Path = Path(), offline: bool = False
) -> LoadedWeights:
    """Load RGB weights into the encoder of a network, or into a network that has no `encoder`.

    Every tensor of the encoder gets its value and every tensor of the file has its place, or it is
    a `UserError` that names the first ones that do not fit, and the network stays as it was. Left
    out are a classifier's tensors, layers behind the last feature map of a timm encoder, and the
    other parts of a segmentation network. Names are stripped of what wraps them all.

    Raises `UserError` also for weights that cannot be had or read or that are not finite. With
    `offline`, published weights must lie in a cache.
    """
    if weights == PRETEXT:
        from emsym.models.pretrained.pretext import pretext_weights

        tag, path = PRETEXT, pretext_weights(_encoder_name(model))
    elif is_weights_name(weights, folder):
        tag, path = published_weights(_encoder_name(model), weights, offline)
    else:
        path = weights_path(weights, folder)
        tag = path.name
    description = f"'{tag}'" if is_weights_name(weights, folder) else f"of {path}"
    fit = best_match(model, read_state_dict(path))
    if fit.mismatches:
        tied = any(".parametrizations." in name for name in chain(*fit.mismatches.values()))
        way = "; they are parametrised: save them after emsym.mirror_untie(model)" if tied else ""
        raise UserError(
            f"The weights {description} do not fit the encoder: {fit.mismatch_text()}{way}."
        )
    bad = [name for name, value in fit.values.items() if not bool(value.isfinite().all())]
    if bad:
        raise UserError(
            f"The weights {description} are not finite in {first_names(bad)}: the training that "
            "they come from diverged; take other ones."
        )
    encoder = encoder_of(model)
    encoder.load_state_dict({**encoder.state_dict(), **fit.values})
    got = encoder.state_dict()
    digest = state_digest({name: got[name] for name in fit.values})
    published = TIMM_NAME.fullmatch(tag) and is_weights_name(weights, folder)
    licence = licence_of_timm(tag) if published else licence_of_file(path)
    return LoadedWeights(tag, digest, fit.grey, licence)


def state_digest(state: dict[str, Tensor]) -> str:
    """Return ``sha256:…`` over names, dtypes, shapes and bytes of tensors, sorted by name."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def is_weights_name(weights: str, folder: Path) -> bool:
    """Return whether it names weights rather than a file."""
    if weights in ORIGINS:
        return True
    path = folder / weights
    return bool(TIMM_NAME.fullmatch(weights)) and path.suffix not in SUFFIXES and not path.exists()


def _encoder_name(model: nn.Module) -> str:
    """Return the encoder's name as segmentation-models-pytorch's `create_model` takes it."""
    from segmentation_models_pytorch.encoders import encoders

    encoder = encoder_of(model)
    if is_timm_encoder(encoder):
        return f"tu-{encoder.name}"
    name = str(getattr(model, "name", "")).partition("-")[2]  # of "u-resnet34"
    if name not in encoders:
        raise UserError(
            "'pretext' and published weights fit the encoders of segmentation-models-pytorch "
            "alone: give the path of a weights file for another network."
        )
    return name
