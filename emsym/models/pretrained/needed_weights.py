"""The weights that a protocol's encoders need: which file each would get, and whether it fits."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emsym.errors import UserError
from emsym.files import atomic_replacement
from emsym.models.architectures import ARCHITECTURES, encoder_name
from emsym.models.encoders import encoders
from emsym.models.pretrained.checkpoint import read_state_dict
from emsym.models.pretrained.chosen_weights import ChosenWeights, choose_weights, encoder_file
from emsym.models.pretrained.hub import published_weights
from emsym.models.pretrained.weights import PRETEXT, LoadedWeights, load_weights


@dataclass(frozen=True)
class NeededWeights:
    """An encoder, an architecture that has it, and the weights that it gets."""

    encoder: str
    architecture: str
    chosen: ChosenWeights
    folder: Path | None = None
    """A folder that was named to be looked into."""

    def file(self) -> Path | None:
        """Return the file that is there; None for weights that emsym makes.

        Nothing is fetched. Raises `UserError` where published weights are in no cache.
        """
        if self.chosen.file is None and self.folder is not None:
            raise UserError(f"The folder {self.folder} has no weights of '{self.encoder}'.")
        if self.chosen.file is not None or self.chosen.origin == PRETEXT:
            return self.chosen.file
        return published_weights(self.encoder, self.chosen.origin, offline=True)[1]

    def load(self) -> LoadedWeights:
        """Load what is there into the encoder. Raises `UserError` where it does not fit."""
        model = ARCHITECTURES.get(self.architecture)()
        return load_weights(model, self.chosen.source, offline=True)


def needed_weights(
    weights: str, folder: Path, architectures: Iterable[str], instead: Path | None = None
) -> list[NeededWeights]:
    """Return what each encoder of a protocol in `folder` gets; of several networks with it, once.

    The folder `instead` stands in for that of EMSYM_WEIGHTS_DIR. Raises `UserError` for a file or
    a folder that is not there.
    """
    first: dict[str, str] = {}
    for name in architectures:
        first.setdefault(encoder_name(name), name)
    return [
        NeededWeights(encoder, name, choose_weights(weights, folder, encoder, instead), instead)
        for encoder, name in first.items()
    ]


def put_encoder_file(encoder: str, weights: str, folder: Path, origin: Path | None = None) -> Path:
    """Return the encoder's file in a folder, which is put there where it is not yet.

    It is taken from the folder `origin`, or else fetched as published weights. Raises `UserError`
    where it cannot be had.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be made: {error.strerror}; name another."
        ) from error
    there = encoder_file(folder, encoder)
    # one named as an encoder of segmentation-models-pytorch is not timm's
    if there is not None and (there.stem == encoder or there.stem not in encoders()):
        return there
    if origin is None:
        _, source = published_weights(encoder, weights)
        path = folder / f"{encoder}.safetensors"
    elif (found := encoder_file(origin, encoder)) is not None:
        source, path = found, folder / found.name
    else:
        raise UserError(f"The folder {origin} has no weights of '{encoder}'.")
    with atomic_replacement(path) as partial:
        _copy(source, path, partial)
    return path


def _copy(source: Path, path: Path, partial: Path) -> None:
    """Copy a weights file, whose tensors alone are kept where the suffix changes."""
    if source.suffix == path.suffix:
        shutil.copyfile(source, partial)
        return
    from safetensors.torch import save_file

    tensors = {name: value.contiguous() for name, value in read_state_dict(source).items()}
    save_file(tensors, partial, {"format": "pt"})
