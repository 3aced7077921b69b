"""Files of weights: read without ever running what is in them, and written whole or not at all."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, first_line, first_names
from emsym.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pt", ".pth")
NESTED = ("state_dict", "model_state_dict", "model")
"""Where a state dict may lie in a checkpoint, in the order in which it is looked for."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds: the weights, and where they lie in the whole content."""

    path: Path
    content: dict[str, Any]
    key: str | None
    """Under which the content holds the weights; None where it is the weights."""

    @property
    def state(self) -> dict[str, Tensor]:
        """The weights by their names."""
        return self.content if self.key is None else self.content[self.key]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights of a file; raises as `read_checkpoint` does."""
    return read_checkpoint(path).state


def read_checkpoint(path: Path) -> Checkpoint:
    """The content of a .safetensors file or one of `torch.save`; no pickled code is ever run.

    A state dict may lie in a checkpoint as ``state_dict``, ``model_state_dict`` or ``model``. The
    tensors are read from the file when they are used, where its format allows.
    Raises `UserError` where the file holds anything else.
    """
    import torch

    content = _read(path)
    key = None
    if isinstance(content, dict):
        key = next((key for key in NESTED if isinstance(content.get(key), dict)), None)
    state = content if key is None else content[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        holds = f"a {type(state).__name__}"
        if isinstance(state, dict):
            holds = f"a dictionary of {first_names(state)}"
            others = [name for name, each in state.items() if not isinstance(each, torch.Tensor)]
            if 0 < len(others) < len(state):
                raise UserError(
                    f"{path} holds {first_names(others)} beside tensors, as the state dict of a "
                    "quantised network does: save one of the network before it was quantised, or "
                    "of its tensors alone."
                )
        raise UserError(
            f"{path} holds {holds} instead of a state dict, names of tensors and tensors: save one "
            "with `torch.save(model.state_dict(), path)`."
        )
    size = path.stat().st_size
    for name, value in state.items():
        if value.layout != torch.strided:
            fault = "is sparse: save it with `.to_dense()`"
        elif value.is_meta:
            fault = "has a shape but no values: save it from a network that is in memory"
        elif value.numel() * value.element_size() > size:
            fault = "claims more values than the file can hold: do not trust this file"
        else:
            continue
        raise UserError(f"The tensor {first_names([name])} of {path} {fault}.")
    return Checkpoint(path, content, key)


def _read(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened ({error.strerror}): check the path and its permissions."
        ) from error
    if empty:
        raise UserError(f"{path} is empty: save or fetch it again.")
    archive = path.suffix != ".safetensors" and zipfile.is_zipfile(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if archive and _is_torchscript(path):
            raise UserError(
                f"{path} is a TorchScript archive, a program that is not run here: where you trust "
                "it, save its tensors alone with "
                "`torch.save(torch.jit.load(path).state_dict(), new_path)`."
            )
        if archive and _is_compressed(path):
            raise UserError(
                f"{path} is compressed, which torch does not expect: unpack it, or save it again "
                "with torch.save."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle that is refused anyway
            # mapped into memory, so that nothing is read that no network takes
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except UserError:
        raise
    except Exception as error:  # each kind of damage has its own
        if code := _code(error, path):
            raise UserError(
                f"{path} holds {code}, and is refused because unpickling it runs code: where you "
                "trust it, load it yourself and save its tensors alone with "
                "`torch.save(model.state_dict(), path)` or "
                "`safetensors.torch.save_file(model.state_dict(), path)`."
            ) from error
        raise UserError(
            f"{path} is no weights file, or is damaged or cut short{_detail(error)}: save or fetch "
            "it again."
        ) from error


def _metadata(path: Path) -> dict[str, str]:
    """What a .safetensors file says of itself; nothing for another."""
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _is_compressed(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())


def _code(error: Exception, path: Path) -> str:
    """What a pickle would have run, as far as torch's refusal tells; nothing where it is broken."""
    if not isinstance(error, pickle.UnpicklingError):
        return ""
    if found := re.search(r"(?:GLOBAL|class|function) ([A-Za-z_][\w.]*)", str(error)):
        return f"a pickled {found[1]}"
    with path.open("rb") as file:
        return "pickled objects" if file.read(1) == pickle.PROTO else ""


def _detail(error: Exception) -> str:
    """The first sentence of an error, in brackets; of torch's refusals nothing, for they go on to
    advise what would run a file's code."""
    if isinstance(error, pickle.UnpicklingError | KeyError):  # the latter says but a number
        return ""
    return f" ({first_line(error).partition('. ')[0]})"


def write_checkpoint(checkpoint: Checkpoint, changed: Mapping[str, Tensor], path: Path) -> None:
    """Write a checkpoint with some of its weights changed to another file, whole or not at all.

    The suffix of `path` decides the format; that of the checkpoint is allowed, too.
    Raises `UserError` for another suffix, for a .safetensors file of more than weights, and where
    the file cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    if path.suffix not in (*SUFFIXES, checkpoint.path.suffix):
        raise UserError(f"{path} must end in one of {', '.join(SUFFIXES)}.")
    state, key = copy(checkpoint.state), checkpoint.key  # of its own class, with its own attributes
    state.update(changed)
    if path.suffix == ".safetensors" and key is not None:
        more = first_names(name for name in checkpoint.content if name != key)
        raise UserError(f"A .safetensors file holds weights alone, and not {more}: take .pt.")
    with replacing(path) as partial:
        try:
            if path.suffix == ".safetensors":
                save_file(
                    {name: value.contiguous() for name, value in state.items()},
                    partial,
                    {"format": "pt", **_metadata(checkpoint.path)},  # which other readers look for
                )
            else:
                torch.save(state if key is None else {**checkpoint.content, key: state}, partial)
        except RuntimeError as error:  # torch says a full disk in its own way
            raise UserError(f"{path} cannot be written: {first_line(error)}.") from error
