"""The weights that a network of a protocol begins from: a name, a file, or its encoder's own file.

A folder holds a file for each encoder, named as it is in an architecture, with or without ``tu-``:
``mobilenetv2_100.safetensors``. Planning imports this module, so it imports no torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pooch

from emsym.errors import UserError
from emsym.models.encoders import TIMM
from emsym.models.pretrained.checkpoint import SUFFIXES
from emsym.models.pretrained.hub import IMAGENET, WEIGHTS_DIR
from emsym.models.pretrained.weights import is_weights_name, weights_path


@dataclass(frozen=True)
class ChosenWeights:
    """The weights of one encoder of a protocol."""

    origin: str
    """The protocol's word for them: a name, the name of a file, or that of a folder and ``/``."""
    file: Path | None = None
    """The absolute path of a file; None for weights that have a name."""

    @property
    def source(self) -> str:
        """A name or a path, as networks are loaded by."""
        return self.origin if self.file is None else str(self.file)

    @cached_property
    def identity(self) -> str:
        """A file's SHA-256, ``sha256:…``, or the name of others."""
        return self.origin if self.file is None else f"sha256:{pooch.file_hash(self.file)}"


def choose_weights(
    weights: str, folder: Path, encoder: str, instead: Path | None = None
) -> ChosenWeights:
    """Return the weights that a protocol in `folder` gives to one of its encoders.

    The folder `instead` stands in for that of `WEIGHTS_DIR`, which need not have a file.

    Raises `UserError` for a file or a folder that is not there, and for a folder that has no file
    for the encoder, or several.
    """
    if weights == IMAGENET:
        place = instead or weights_dir()
        path = encoder_file(place, encoder) if place else None
        return ChosenWeights(weights, path)
    if is_weights_folder(weights, folder):
        place = (folder / weights).resolve()
        path = encoder_file(place, encoder)
        if path is None:
            raise UserError(
                f"The folder {place} has no weights of '{encoder}': put a file "
                f"{encoder.removeprefix(TIMM)}.safetensors there."
            )
        return ChosenWeights(f"{place.name}/", path)
    if is_weights_name(weights, folder):
        return ChosenWeights(weights)
    path = weights_path(weights, folder).resolve()
    return ChosenWeights(path.name, path)


def is_weights_folder(weights: str, folder: Path) -> bool:
    """Return whether a protocol's `weights` are a folder, relative to the protocol's."""
    return weights.endswith(("/", os.sep)) or (bool(weights) and (folder / weights).is_dir())


def has_file_per_encoder(origin: str) -> bool:
    """Return whether weights of that origin may be another file for each encoder."""
    return origin == IMAGENET or origin.endswith("/")


def encoder_file(folder: Path, encoder: str) -> Path | None:
    """Return the file of a folder that holds the weights of an encoder, if any.

    Raises `UserError` where there is no such folder, and where it holds several of one name.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} of weights.")
    for name in dict.fromkeys((encoder, encoder.removeprefix(TIMM))):
        paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
        there = [path for path in paths if path.parent == folder and path.is_file()]
        if len(there) > 1:
            raise UserError(
                f"The folder {folder} holds {' and '.join(path.name for path in there)}: leave one "
                "of them there, as they may differ."
            )
        if there:
            return there[0]
    return None


def weights_dir() -> Path | None:
    """Return the folder that `WEIGHTS_DIR` names. Raises `UserError` where there is none."""
    named = os.environ.get(WEIGHTS_DIR)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{WEIGHTS_DIR} names {folder}, which is no folder: correct it, or unset it to take "
            "published weights from the hub."
        )
    return folder.resolve()
