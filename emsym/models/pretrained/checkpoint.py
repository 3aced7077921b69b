"""Files of weights: read without ever running what is in them, and written whole or not at all."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, first_line, first_names
from emsym.files import atomic_replacement
from emsym.models.pretrained.inert_pickle import Inert, load_with_inert, module_state
from emsym.models.pretrained.weights_index import indexed_files, is_index, weights_files

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pt", ".pth")
USUAL_KEYS = (
    *("state_dict", "model_state_dict", "model", "network_weights", "model_state", "net"),
    *("network", "weights", "params"),
)
"""Under which training scripts keep the weights, in the order in which they are looked for."""
_AVERAGED = re.compile(r"ema|swa|averag", re.IGNORECASE)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_KERAS = "a Keras network; emsym reads PyTorch and ONNX"
_DEPTH = 3
"""How many dictionaries within each other are searched for a state dict."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file of weights, and where the weights lie in it."""

    path: Path
    content: Any
    key: tuple[str, ...]
    """The keys that lead to the weights; none where the content is the weights."""
    state: dict[str, Tensor]
    """The weights by their names."""
    others: tuple[str, ...] = ()
    """Where other weights of the file lie, as `--weights-key` takes them."""
    whole: bool = True
    """Whether everything in the file was read, and not its tensors and plain values alone."""
    pickled: str = ""
    """The class of the pickled network that the weights are of, as the file calls it; else ""."""

    @property
    def place(self) -> str:
        """Where the weights lie, as `--weights-key` takes it; "" where they are all."""
        return ".".join(self.key)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file by their names; raises as `read_checkpoint` does."""
    return read_checkpoint(path).state


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read a .safetensors file, one of `torch.save` or an index; no pickled code is ever run.

    The weights may be the content, a pickled module, or lie in dictionaries under any key. `key`
    (``state_dict_ema``, ``model.encoder``) says which where there are several; it may go on with
    what stands before the names of one of several networks (``state_dict.teacher``, or
    ``teacher`` alone). Without it plain weights are taken before averaged ones, and a usual key
    before others. Tensors are read from the file when they are used, where its format allows.

    Raises `UserError` for a file that holds no weights, for one in which they cannot be told from
    others, and for tensors that are not plain.
    """
    import torch

    if is_index(path):
        return _indexed(path, key)
    content, whole = _read(path)
    candidates = dict(_state_dicts(content))
    if not candidates:
        raise UserError(_no_state_dict(path, content))
    place, prefix = _chosen(path, candidates, key)
    state = candidates[place]
    if prefix:
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
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
    others = tuple(".".join(other) for other in candidates if other != place)
    return Checkpoint(path, content, place, state, others, whole, _pickled_class(content, place))


def _indexed(index: Path, key: str | None) -> Checkpoint:
    """Read the weights of an index from its files, each of which is checked by itself."""
    if key is not None:
        raise UserError(f"{index} holds one network's weights: leave --weights-key out.")
    parts = {file: read_checkpoint(file) for file in weights_files(index)}
    state = {}
    for name, file in indexed_files(index).items():
        if name not in parts[file].state:
            raise UserError(f"{file} has no tensor {first_names([name])}, which {index} names.")
        state[name] = parts[file].state[name]
    return Checkpoint(index, state, (), state, whole=all(part.whole for part in parts.values()))


def _pickled_class(content: Any, place: tuple[str, ...]) -> str:
    for name in place:
        content = content[name]
    kind = type(content)
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(content, Inert) else ""


def _state_dicts(
    content: object, before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield each state dict in a content with the keys that lead to it, the outermost first."""
    import torch

    if module := module_state(content):
        yield before, module
    if not isinstance(content, dict) or (before and not content):
        return
    values = content.values()
    if all(isinstance(name, str) for name in content) and all(
        isinstance(value, torch.Tensor) for value in values
    ):
        yield before, content
    elif len(before) < _DEPTH:
        for name, value in content.items():
            if isinstance(name, str):
                yield from _state_dicts(value, (*before, name))


def _chosen(
    path: Path, candidates: Mapping[tuple[str, ...], Mapping[str, Tensor]], key: str | None
) -> tuple[tuple[str, ...], str]:
    """Return the place that is meant, and the prefix of the names that are meant there."""
    if key is None:
        return _usual(path, list(candidates)), ""
    names = {".".join(place): place for place in candidates}
    if key in names:
        return names[key], ""
    prefixes = {name: f"{key.removeprefix(f'{name}.')}." for name in names}
    holding = [
        name
        for name, place in names.items()
        if any(each.startswith(prefixes[name]) for each in candidates[place])
    ]
    if len(holding) > 1:
        several = first_names(f"{name}.{key}" for name in holding)
        raise UserError(f"{path} holds several weights under '{key}': say {several}.")
    if not holding:
        raise UserError(f"{path} holds no weights under '{key}': there are {first_names(names)}.")
    return names[holding[0]], prefixes[holding[0]]


def _usual(path: Path, places: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the place that is likely meant. Raises `UserError` where several may be."""
    plain = [place for place in places if not _AVERAGED.search(".".join(place))] or places
    for usual in USUAL_KEYS:
        for place in plain:
            if place and place[-1] == usual:
                return place
    if len(plain) > 1:
        raise UserError(
            f"{path} holds the weights of {len(plain)} networks, under "
            f"{first_names(map('.'.join, places))}: say which with --weights-key."
        )
    return plain[0]


def _no_state_dict(path: Path, content: object) -> str:
    """Return the sentence about a file that holds no state dict."""
    import torch

    holds = f"a {type(content).__name__}"
    usual = content.get(USUAL_KEYS[0]) if isinstance(content, dict) else None
    content = usual if isinstance(usual, dict) else content
    if isinstance(content, dict):
        holds = f"a dictionary of {first_names(content)}"
        rest = [name for name, value in content.items() if not isinstance(value, torch.Tensor)]
        if 0 < len(rest) < len(content):
            return (
                f"{path} holds {first_names(rest)} beside tensors, as the state dict of a "
                "quantised network does: save one of the network before it was quantised, or of "
                "its tensors alone."
            )
    return (
        f"{path} holds {holds} instead of a state dict, names of tensors and tensors: save one "
        "with `torch.save(model.state_dict(), path)`."
    )


def _read(path: Path) -> tuple[Any, bool]:
    """Return the content of a file, and whether that is all of it and no stand-ins."""
    import torch
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened ({error.strerror}): check the path and its permissions."
        ) from error
    if not start:
        raise UserError(f"{path} is empty: save or fetch it again.")
    archive = path.suffix != ".safetensors" and zipfile.is_zipfile(path)
    if foreign := _foreign(path, start, archive):
        raise UserError(f"{path} is {foreign}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path), True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a pickle that is refused anyway
                # mapped into memory, so that nothing is read that no network takes
                return torch.load(path, map_location="cpu", weights_only=True, mmap=archive), True
        except pickle.UnpicklingError:
            return load_with_inert(path, mmap=archive), False
    except Exception as error:  # each kind of damage has its own
        if code := _pickled_code(error, path):
            raise UserError(
                f"{path} holds {code}, and is refused because unpickling it runs code: where you "
                "trust it, load it yourself and save its tensors alone with "
                "`torch.save(model.state_dict(), path)` or "
                "`safetensors.torch.save_file(model.state_dict(), path)`."
            ) from error
        raise UserError(
            f"{path} is no weights file, or is damaged or cut short{_error_detail(error)}: save or "
            "fetch it again."
        ) from error


def _foreign(path: Path, start: bytes, archive: bool) -> str:
    """Return what a file is that holds no weights of PyTorch, and the way out; or nothing."""
    if archive:
        try:
            with zipfile.ZipFile(path) as file:
                names = file.namelist()
                compressed = any(m.compress_type != zipfile.ZIP_STORED for m in file.infolist())
        except zipfile.BadZipFile:
            return ""  # who reads it says how it is damaged
        if any(name.endswith("/constants.pkl") for name in names):
            return (
                "a TorchScript archive, a program that is not run here: where you trust it, save "
                "its tensors alone with `torch.save(torch.jit.load(path).state_dict(), new_path)`"
            )
        if "model.weights.h5" in names:
            return _KERAS
        if any(name.endswith("data.pkl") for name in names) and compressed:
            return (
                "compressed, which torch does not expect: unpack it, or save it again with "
                "torch.save"
            )
        if any(name.endswith("models/model.json") or "archive_format" in name for name in names):
            return (
                "a program of torch.export, a whole network and not weights alone: save its "
                "tensors with `torch.save(torch.export.load(path).state_dict, new_path)`"
            )
        if names and not any(name.endswith("data.pkl") for name in names):
            return "an archive of other files: unpack it, and give the folder or one of its files"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, and not the file that it stands for: run `git lfs pull`"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return (
            "a web page, as a server sends where it asks for a login or a confirmation: fetch the "
            "file with a browser"
        )
    if start.startswith(_HDF5):
        return f"an HDF5 file; where it is {_KERAS}" if path.suffix != ".h5" else _KERAS
    if path.suffix == ".onnx":
        return (
            "an ONNX file, a whole network and not weights alone: give the PyTorch weights that it "
            "was made from"
        )
    return ""


def _metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a .safetensors file; nothing for another."""
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def _pickled_code(error: Exception, path: Path) -> str:
    """Return what a pickle would have run, if torch's refusal tells; nothing where it is broken."""
    if not isinstance(error, pickle.UnpicklingError):
        return ""
    if named := re.search(r"(?:GLOBAL|class|function) ([A-Za-z_][\w.]*)", str(error)):
        return f"a pickled {named[1]}"
    with path.open("rb") as file:
        return "pickled objects" if file.read(1) == pickle.PROTO else ""


def _error_detail(error: Exception) -> str:
    """Return the first sentence of an error, in brackets; nothing for torch's refusals.

    Those go on to advise what would run a file's code.
    """
    if isinstance(error, pickle.UnpicklingError | KeyError):  # the latter says but a number
        return ""
    return f" ({first_line(error).partition('. ')[0]})"


def write_checkpoint(checkpoint: Checkpoint, changed: Mapping[str, Tensor], path: Path) -> None:
    """Write a checkpoint with some of its weights changed to another file, whole or not at all.

    The suffix of `path` decides the format; that of the checkpoint is allowed, too. Where the
    checkpoint was not read whole, its weights alone are written.
    Raises `UserError` for another suffix, for a .safetensors file of more than weights, and where
    the file cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    own = () if is_index(checkpoint.path) else (checkpoint.path.suffix,)
    if path.suffix not in (*SUFFIXES, *own):
        raise UserError(f"{path} must end in one of {', '.join(SUFFIXES)}.")
    state = copy(checkpoint.state)  # of its own class, with its own attributes
    state.update(changed)
    if path.suffix == ".safetensors" and checkpoint.key and checkpoint.whole:
        more = first_names(name for name in checkpoint.content if name != checkpoint.key[0])
        raise UserError(f"A .safetensors file holds weights alone, and not {more}: take .pt.")
    with atomic_replacement(path) as partial:
        try:
            if path.suffix == ".safetensors":
                save_file(
                    {name: value.contiguous() for name, value in state.items()},
                    partial,
                    {"format": "pt", **_metadata(checkpoint.path)},  # which other readers look for
                )
            else:
                whole = _with_state(checkpoint.content, checkpoint.key, state)
                torch.save(whole if checkpoint.whole else state, partial)
        except RuntimeError as error:  # torch says a full disk in its own way
            raise UserError(f"{path} cannot be written: {first_line(error)}.") from error


def _with_state(content: Any, key: tuple[str, ...], state: dict[str, Tensor]) -> Any:
    """Return the content with another state dict where the keys lead."""
    if not key:
        return state
    return {**content, key[0]: _with_state(content[key[0]], key[1:], state)}
