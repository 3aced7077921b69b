"""The network of an audit: from a file, a plug-in or memory, as a module that can be asked.

No pickle is ever loaded: a state dict is read as weights alone, TorchScript by PyTorch's own
reader, which knows no Python, and a program of `torch.export` by `emsym.auditing.exported_program`.
A program is code all the same: it runs, and may use time and memory as it likes.
"""

import copy
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pooch
import torch
from torch import Tensor, nn

from emsym.auditing.cell_network import cell_name, record_of_network
from emsym.auditing.exported_program import is_exported, members, read_exported
from emsym.auditing.inputs import NetworkOnVolume
from emsym.auditing.onnx_network import OnnxNetwork
from emsym.auditing.result import Kind
from emsym.errors import UserError, first_line, first_names
from emsym.models.architectures import ARCHITECTURES, SmpFactory
from emsym.models.inits import parse_init
from emsym.models.interventions import mirror_parametrisations
from emsym.models.pretrained.checkpoint import SUFFIXES, Checkpoint, read_checkpoint
from emsym.models.pretrained.tensor_names import match_tensors
from emsym.models.stem.fill import fill_stem
from emsym.models.stem.find import find_stem
from emsym.models.stem.stem import Stem, stem_tensors
from emsym.plugins import load_factory

_TIED = re.compile(r"\.parametrizations\.(\w+)\.original$")
_HEAD = "segmentation_head."


@dataclass(frozen=True)
class Loaded:
    """A network and where it comes from."""

    model: nn.Module
    name: str
    kind: Kind
    digest: str | None = None
    """``sha256:…`` of its file."""
    architecture: str | None = None
    slices: int | None = None
    """How many it reads, where the file tells."""
    path: str = ""
    """That of its file, as it was given."""
    size: tuple[int | None, int | None] = (None, None)
    """Height and width that it is made for, where it takes no others."""
    notes: tuple[str, ...] = ()
    """What was taken for granted about it, a sentence each."""


class Called(nn.Module):
    """A function of stacks as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """`function` is (N, S, H, W) → (N, C, H, W), a tensor or a NumPy array."""
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        """Return what the function gives, as a tensor where it is an array."""
        answer = self.function(x)
        return torch.from_numpy(answer).to(x) if isinstance(answer, np.ndarray) else answer


def load_network(inputs: NetworkOnVolume) -> Loaded:
    """Load the network that is meant, on the device where it lies; files are loaded to the CPU.

    A plug-in's architecture, which is meant by its name, has a factory that gives it trained. A
    state dict needs the `architecture`.

    Numbers of other precisions are run in float32; a module that is given is copied for that.
    Raises `UserError` for anything else, and for weights that do not fit.
    """
    network, architecture = inputs.model, inputs.architecture
    if isinstance(network, nn.Module):
        network = getattr(network, "_orig_mod", network)  # compiling takes minutes for each shape
        return Loaded(_full(network), type(network).__name__, "module", architecture=architecture)
    if not isinstance(network, str | Path):
        if not callable(network):
            raise UserError(
                "A network is a torch.nn.Module, a function of stacks, a file or the name of a "
                f"plug-in's architecture, and not a {type(network).__name__}."
            )
        name = getattr(network, "__name__", type(network).__name__)
        return Loaded(Called(network), name, "callable", architecture=architecture)
    path = Path(network)
    if not path.exists() and path.suffix not in (*SUFFIXES, ".pt2", ".ts", ".onnx", ".ckpt"):
        return _registered(str(network), architecture)
    digest = f"sha256:{_hash(path)}" if path.is_file() else None
    if path.is_file() and _is_program(path):
        if architecture is not None or inputs.factory is not None:
            raise UserError(
                f"{path} is a whole network, not weights alone: leave --architecture and --model "
                "out."
            )
        return _program(path, digest)
    checkpoint = read_checkpoint(path, inputs.weights_key)
    record = record_of_network(path)
    if record is not None and inputs.factory is None:
        architecture = architecture or record.architecture
    if (architecture is None) == (inputs.factory is None):
        raise UserError(
            f"{path} holds weights alone: say of which network, with --architecture, such as "
            "unet-resnet34, or with --model FILE.py:NAME, a function of yours that returns it."
        )
    name = architecture or inputs.factory or ""
    factory = ARCHITECTURES.get(name) if architecture else load_factory(name)
    model, slices = _built(checkpoint.state, path, name, factory)
    return Loaded(
        model=model,
        name=cell_name(record) if record else path.name,
        kind="state dict",
        digest=digest,
        architecture=architecture,
        slices=slices,
        path=str(path),
        notes=_of_checkpoint(checkpoint),
    )


def _is_program(path: Path) -> bool:
    return path.suffix.lower() == ".onnx" or is_exported(path) or _is_scripted(path)


def _program(path: Path, digest: str | None) -> Loaded:
    """Load a file that holds a whole network."""
    if path.suffix.lower() == ".onnx":
        onnx = OnnxNetwork(path)
        size = cast(tuple[int | None, int | None], tuple(onnx.shape[2:]))
        return Loaded(onnx, path.name, "ONNX", digest, None, onnx.shape[1], str(path), size)
    if is_exported(path):
        program = read_exported(path)
        size = cast(tuple[int | None, int | None], program.shape[2:])
        return Loaded(
            program, path.name, "torch.export", digest, None, program.shape[1], str(path), size
        )
    return Loaded(_scripted(path), path.name, "TorchScript", digest, path=str(path))


def _of_checkpoint(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return what was taken for granted about the weights of a file, a sentence each."""
    notes = []
    if checkpoint.others:
        notes.append(
            f"The weights are those under '{checkpoint.place}' of the file, which also holds "
            f"{first_names(checkpoint.others)}: --weights-key takes others."
        )
    if not checkpoint.whole:
        notes.append("The file holds objects beside tensors, of which nothing was read.")
    return tuple(notes)


def _registered(name: str, architecture: str | None) -> Loaded:
    try:
        entry = ARCHITECTURES.entry(name)
    except UserError as error:
        raise UserError(
            f"There is no file {name}, nor does a plug-in register a network of that name: give a "
            "file, or the name with --plugin FILE."
        ) from error
    if entry.own:
        raise UserError(
            f"'{name}' is an architecture without training: give the file of its weights, and "
            f"--architecture {name}."
        )
    if architecture not in (None, name):
        raise UserError(f"'{name}' is a whole network: leave --architecture out.")
    try:
        network: Any = entry.value()
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's factory raises
        raise UserError(
            f"The factory of '{name}' fails ({type(error).__name__}: {first_line(error)})."
        ) from error
    if isinstance(network, nn.Module):
        return Loaded(_full(network), name, "module", architecture=name)
    if not callable(network):
        raise UserError(
            f"The factory of '{name}' gives a {type(network).__name__} instead of a "
            "torch.nn.Module or a function of stacks."
        )
    return Loaded(Called(network), name, "callable", architecture=name)


def _full(model: nn.Module) -> nn.Module:
    """Return the network, or a copy of it in float32 where it has numbers of another precision."""
    tensors = (*model.parameters(), *model.buffers())
    if all(each.dtype == torch.float32 for each in tensors if each.is_floating_point()):
        return model
    return copy.deepcopy(model).float()


# --- files ----------------------------------------------------------------------------------------


def _hash(path: Path) -> str:
    try:
        return pooch.file_hash(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened ({error.strerror}): check the path and its permissions."
        ) from error


def _is_scripted(path: Path) -> bool:
    return any(name.endswith("/constants.pkl") for name in members(path))


def _scripted(path: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that TorchScript has had its day
            return torch.jit.load(path, map_location="cpu").float()
    except Exception as error:  # as many kinds as there are kinds of damage
        raise UserError(
            f"{path} is no TorchScript that this PyTorch reads, or is damaged "
            f"({first_line(error)}): save it again with torch.jit.save."
        ) from error


def _built(
    state: Mapping[str, Tensor], path: Path, architecture: str, factory: Callable[[], Any]
) -> tuple[nn.Module, int | None]:
    """Return the network with the weights of a file, and how many slices it reads, where found.

    It gets as many slices and classes as the weights have. What wraps all their names is left out,
    and weights that were saved mirror-tied become plain ones.
    """
    try:
        model: Any = factory()
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's factory raises
        raise UserError(
            f"The function '{architecture}' fails ({type(error).__name__}: {first_line(error)})."
        ) from error
    if not isinstance(model, nn.Module):
        raise UserError(f"'{architecture}' is a whole network: audit it by its name, not {path}.")
    weights = {_TIED.sub(r".\1", f".{name}")[1:]: _single(value) for name, value in state.items()}
    tied = {name for name in weights if name not in state}
    prefix = _prefix(weights, model, path, architecture)
    weights = {name[len(prefix) :]: v for name, v in weights.items() if name.startswith(prefix)}
    tied = {name.removeprefix(prefix) for name in tied}
    if isinstance(factory, SmpFactory) and (classes := _classes(model, weights)) != 1:
        model = factory(classes)
    stem = _stem_of(model)
    if stem is not None:
        stem = _with_slices_of(model, stem, weights, path)
        for name, tie in mirror_parametrisations(stem).items():
            if name in tied:
                weights[name] = tie(weights[name])
                tied.remove(name)
    fit = match_tensors(model.state_dict(), weights, weights.keys() - model.state_dict().keys())
    if fit.mismatches or tied:
        differences = fit.mismatch_text() or f"{first_names(sorted(tied))} parametrised"
        raise UserError(f"{path} does not hold the weights of {architecture}: {differences}.")
    model.load_state_dict(fit.values)
    return model.eval(), None if stem is None else stem.slices


def _single(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _prefix(given: Mapping[str, Tensor], model: nn.Module, path: Path, architecture: str) -> str:
    """Return the prefix of the network's own names in a file, such as ``module.``."""
    first = next(iter(model.state_dict()))
    prefixes = [
        f".{key}".removesuffix(f".{first}") for key in given if f".{key}".endswith(f".{first}")
    ]
    if not prefixes:
        raise UserError(
            f"{path} does not hold the weights of {architecture}: there is no '{first}'."
        )
    if len(prefixes) > 1:
        raise UserError(
            f"{path} holds {len(prefixes)} networks, under {first_names(p[1:] for p in prefixes)}: "
            "save the state dict of one alone."
        )
    return f"{prefixes[0][1:]}." if prefixes[0] else ""


def _classes(model: nn.Module, given: Mapping[str, Tensor]) -> int:
    """Return how many classes a file's weights give: as many as the head's last bias has values."""
    biases = [name for name, own in model.state_dict().items() if own.ndim == 1]
    last = next((name for name in reversed(biases) if name.startswith(_HEAD)), None)
    return len(given[last]) if last and last in given and given[last].ndim == 1 else 1


def _stem_of(model: nn.Module) -> Stem | None:
    try:
        return find_stem(model)
    except UserError:  # of a plug-in's network, which is then taken as it is
        return None


def _with_slices_of(model: nn.Module, stem: Stem, given: Mapping[str, Tensor], path: Path) -> Stem:
    """Make the network read as many slices as the weights do, and return its stem."""
    read = stem.reads[0]
    own = stem_tensors(model, stem)[read.path]
    weight = given.get(read.path)
    if weight is None or weight.ndim != own.ndim or weight.shape == own.shape:
        return stem
    more, each = weight.shape[read.dim] - own.shape[read.dim], read.slots.count(0)
    slices = stem.slices + more // each
    if more % each or slices < 1 or slices % 2 == 0:
        raise UserError(
            f"The weights of {path} read {slices} slices, and a slice stack has an odd number."
        )
    return fill_stem(model, stem, "rgb", parse_init("rgb").strategy, slices)
