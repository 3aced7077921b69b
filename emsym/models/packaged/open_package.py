"""Telling what a folder, an archive or a file with a description beside it is, and opening it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emsym.errors import UserError, first_names
from emsym.models.packaged import smp_folder, transformers_folder
from emsym.models.packaged.bioimage import bioimage_package
from emsym.models.packaged.package import Package, read_description
from emsym.models.packaged.training_folder import bundle_package, results_package
from emsym.models.pretrained.weights_index import INDEX

CONFIG = "config.json"
_WEIGHTS = (
    *("model.safetensors", "pytorch_model.bin"),
    *(f"model.safetensors{INDEX}", f"pytorch_model.bin{INDEX}"),
)
_KERAS = ("saved_model.pb", "keras_metadata.pb")


class UnknownFolderError(UserError):
    """A folder is nothing that a network is saved as."""


@contextmanager
def open_package(path: Path, own: bool = False) -> Iterator[Package]:
    """Yield the network that is meant by a path; what is unpacked for it is gone afterwards.

    `own` says that the user tells how to build the network, so that weights alone are wanted. A
    file that nothing describes is a package of itself. Raises `UnknownFolderError` for a folder
    that is none of those known, and `UserError` for a package that is damaged or cannot be read.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as aside:
        yield bioimage_package(path, own, Path(aside)) or _from_place(path, own)


def _from_place(path: Path, own: bool) -> Package:
    if not path.is_dir():
        described = not own and path.name in _WEIGHTS and (path.parent / CONFIG).is_file()
        return (_from_config(path.parent / CONFIG, path) if described else None) or Package(path)
    if package := bundle_package(path, own) or results_package(path, own):
        return package
    if any((path / name).is_file() for name in _KERAS):
        raise UserError(f"{path} is a Keras network; emsym reads PyTorch and ONNX.")
    weights = [path / name for name in _WEIGHTS if (path / name).is_file()]
    if weights and own:
        return Package(weights[0])
    described = bool(weights) and (path / CONFIG).is_file()
    if described and (package := _from_config(path / CONFIG, weights[0])):
        return package
    raise UnknownFolderError(_unknown(path))


def _from_config(description: Path, weights: Path) -> Package | None:
    """Return the network of a `save_pretrained`; None where its config.json names no class."""
    config = read_description(description)
    if smp_folder.CLASS in config:
        return smp_folder.smp_package(config, description, weights)
    if transformers_folder.CLASSES in config:
        return transformers_folder.transformers_package(config, description, weights)
    return None


def _unknown(path: Path) -> str:
    names = first_names(sorted(each.name for each in path.iterdir())) or "nothing"
    return (
        f"{path} is a folder of {names}, and none that save_pretrained, bioimage.io, MONAI or "
        "nnU-Net make: give the file of the network or its weights."
    )
