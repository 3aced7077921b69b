"""Folders that MONAI and nnU-Net leave of a training: bundles and results."""

from __future__ import annotations

from pathlib import Path

from emsym.errors import UserError
from emsym.models.packaged.package import Package

_BUNDLE = ("configs/inference.json", "configs/inference.yaml", "configs/metadata.json")
_PROGRAM, _WEIGHTS = "models/model.ts", "models/model.pt"


def bundle_package(folder: Path, own: bool) -> Package | None:
    """Return the network of a MONAI bundle; None for a folder that is none.

    That is its TorchScript, or where the user tells how to build the network (`own`), its weights.
    Raises `UserError` where it has weights alone, which belong to a network that a configuration
    describes in code.
    """
    described = [folder / name for name in _BUNDLE if (folder / name).is_file()]
    if not described:
        return None
    program, weights = folder / _PROGRAM, folder / _WEIGHTS
    if program.is_file() and not own:
        return Package(program, notes=(f"Of the MONAI bundle {_PROGRAM} was taken.",))
    if own and weights.is_file():
        return Package(weights)
    raise UserError(
        f"{folder} is a MONAI bundle without {_PROGRAM}, and what its configuration says of the "
        f"network is code, which is not run: give {folder / _WEIGHTS} with --model FILE.py:NAME, a "
        "function of yours that returns the network_def of "
        f"{described[0].relative_to(folder)}, or make {_PROGRAM} with `python -m monai.bundle "
        "ckpt_export`."
    )


def results_package(folder: Path, own: bool) -> Package | None:
    """Return the weights of a folder of nnU-Net's results, of which the user tells the network.

    None for a folder that is none. Raises `UserError` where the user tells nothing, or there are
    several folds.
    """
    if not (folder / "plans.json").is_file() or not (folder / "dataset.json").is_file():
        return None
    files = sorted(folder.glob("fold_*/checkpoint_final.pth"))
    if own and len(files) == 1:
        return Package(files[0])
    example = files[0] if files else folder / "fold_0" / "checkpoint_final.pth"
    raise UserError(
        f"{folder} holds results of nnU-Net: give one fold's weights, {example}, with --model "
        "FILE.py:NAME, a function of yours that returns the network of plans.json as nnU-Net's "
        "get_network_from_plans builds it."
    )
