"""The network of an audit: from a file, a plug-in or memory, as a module that can be asked.

No pickle is ever loaded: a state dict is read as weights alone, TorchScript by PyTorch's own
reader, which knows no Python, and a program of `torch.export` by `emsym.auditing.exported_program`.
A program is code all the same: it runs, and may use time and memory as it likes.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import pooch
import torch
from torch import Tensor, nn

from emsym.auditing.built_network import build_network
from emsym.auditing.cell_network import cell_name, rebuilt_factory, record_of_network
from emsym.auditing.exported_program import is_exported, members, read_exported
from emsym.auditing.inputs import NetworkOnVolume
from emsym.auditing.onnx_network import OnnxNetwork
from emsym.auditing.result import Kind
from emsym.data.reading.file_key import split_file_key
from emsym.data.reading.readers import READERS
from emsym.errors import UserError, first_line, first_names
from emsym.models.architectures import ARCHITECTURES, architecture_name
from emsym.models.copying import copy_network
from emsym.models.interventions.shipped import FLIP_AVERAGE
from emsym.models.packaged.open_package import UnknownFolderError, open_package
from emsym.models.packaged.package import DescribedOption, Package
from emsym.models.pretrained.checkpoint import SUFFIXES, Checkpoint, read_checkpoint
from emsym.models.pretrained.likely_architecture import architecture_option
from emsym.models.pretrained.weights_index import weights_files
from emsym.plugins import load_factory
from emsym.run.store.record import Record

ORDER = "The network comes first, and then the volume."


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
    """Assumptions about it, a sentence each."""
    seed: int = 0
    """That of the cell which trained it, where a run did."""
    repair: tuple[str, ...] | None = None
    """The words after the path that tell `symmetrize` its network; None where it cannot treat it.
    """
    options: tuple[DescribedOption, ...] = ()
    """The package's description of how it is to be shown a volume, and of its output."""


class Called(nn.Module):
    """A function of stacks as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """`function` is (N, S, H, W) → (N, C, H, W), a tensor or a NumPy array."""
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        """Return what the function gives, as a tensor where it is an array."""
        try:
            answer = self.function(x)
        except RuntimeError as error:
            if "numpy() on Tensor that requires grad" not in str(error):  # as memory that ran out
                raise
            answer = self.function(x.detach())
        return torch.from_numpy(answer).to(x) if isinstance(answer, np.ndarray) else answer


def load_network(inputs: NetworkOnVolume) -> Loaded:
    """Load the network that is meant, on the device where it lies; files are loaded to the CPU.

    A plug-in's architecture, which is meant by its name, has a factory that gives it trained. A
    state dict needs the `architecture` or the `factory`, unless a description lies beside it.

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
    if not path.exists() and Path(split_file_key(str(path))[0]).exists():
        raise UserError(f"{path} is no file of a network. {ORDER}")
    if not path.exists() and path.suffix not in (*SUFFIXES, ".pt2", ".ts", ".onnx", ".ckpt"):
        return _registered(str(network), architecture)
    own = architecture is not None or inputs.factory is not None
    with _order_told(path), open_package(path, own=own) as package:
        return replace(
            loaded := _from_file(package, inputs),
            name=loaded.name if package.file == path else path.name,
            path=str(path),
            slices=loaded.slices or package.slices,
            notes=(*package.notes, *loaded.notes),
            options=(*loaded.options, *package.options),
        )


@contextmanager
def _order_told(path: Path) -> Iterator[None]:
    """Say in a `UserError`, too, what comes first, where the network is an image file.

    Or a folder that holds images for the most part, and is none of a network's.
    """
    try:
        yield
    except UserError as error:
        if _is_image(path):
            raise UserError(f"{error} {ORDER}") from error
        if isinstance(error, UnknownFolderError) and _holds_images(path):
            raise UserError(
                f"{path} is a folder of images, and no network: give the network first, and then "
                "the volume."
            ) from error
        raise


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(tuple(READERS.names()))


def _holds_images(folder: Path) -> bool:
    """Return whether more than half of a folder are images: a picture may lie beside weights."""
    files = [each for each in folder.iterdir() if not each.name.startswith(".")]
    return 2 * sum(map(_is_image, files)) > len(files)


def _from_file(package: Package, inputs: NetworkOnVolume) -> Loaded:
    """Load a network from its file, by what its package or else the user says of it."""
    path = package.file
    digest = f"sha256:{_hash(path)}" if path.is_file() else None
    if not path.is_file() or not _is_program(path):
        return _from_weights(package, inputs, digest)
    if inputs.architecture is not None or inputs.factory is not None:
        raise UserError(
            f"{path} is a whole network, not weights alone: leave --architecture and --model out."
        )
    return _program(path, digest)


def _from_weights(package: Package, inputs: NetworkOnVolume, digest: str | None) -> Loaded:
    """Build the network of a file of weights and load them."""
    path, architecture, factory = package.file, None, package.factory
    checkpoint = read_checkpoint(path, inputs.weights_key)
    notes = _of_checkpoint(checkpoint)
    if package.load is not None:
        return Loaded(package.load(checkpoint.state), path.name, "state dict", digest, notes=notes)
    record, name = record_of_network(path), package.name
    if factory is None:
        name, architecture, factory = _told_network(inputs, checkpoint, record)
        factory = (record and rebuilt_factory(record)) or factory
    model, slices, more = build_network(checkpoint.state, path, name, factory)
    return Loaded(
        model=model,
        name=cell_name(record) if record else path.name,
        kind="state dict",
        digest=digest,
        architecture=architecture,
        slices=slices,
        path=str(path),
        repair=_repair_words(inputs, checkpoint, architecture),
        notes=(*notes, *more),
        seed=record.seed if record else 0,
        options=_of_record(record),
    )


def _of_record(record: Record | None) -> tuple[DescribedOption, ...]:
    """Return how the network of a cell was used, where its weights do not tell."""
    if record is None or FLIP_AVERAGE not in record.init.split("+"):
        return ()
    return (DescribedOption({"flip_average": True}, ""),)


def _repair_words(
    inputs: NetworkOnVolume, checkpoint: Checkpoint, architecture: str | None
) -> tuple[str, ...] | None:
    if inputs.weights_key not in (None, read_checkpoint(checkpoint.path).place):
        return None  # `symmetrize` would take others
    if inputs.factory is not None:
        return "--model", inputs.factory
    return () if architecture is None else ("--architecture", architecture)


def _told_network(
    inputs: NetworkOnVolume, checkpoint: Checkpoint, record: Record | None
) -> tuple[str, str | None, Callable[[], Any]]:
    """Return what the network of weights is called, its architecture, if any, and its factory."""
    architecture = inputs.architecture
    if record is not None and inputs.factory is None:
        architecture = architecture or record.architecture
    if architecture is not None and inputs.factory is not None:
        raise UserError("Give --architecture or --model, not both.")
    if architecture is None and inputs.factory is None:
        raise UserError(_network_question(checkpoint))
    if architecture is None:
        return inputs.factory or "", None, load_factory(inputs.factory or "")
    name = architecture_name(architecture)
    return name, name, ARCHITECTURES.get(name)


def _network_question(checkpoint: Checkpoint) -> str:
    """Ask of which network the weights of a file are."""
    path, holds, more = checkpoint.path, "weights alone", ""
    if checkpoint.pickled:
        holds = (
            f"a pickled network ({first_names([checkpoint.pickled])}), of which the tensors alone "
            "are read, as unpickling runs code"
        )
        more = (
            "; or, where you trust the file, call emsym.audit(torch.load(path, "
            "weights_only=False), volume) in Python"
        )
    return (
        f"{path} holds {holds}: say of which network, with {architecture_option(checkpoint)}, or "
        f"with --model FILE.py:NAME, a function of yours that returns it{more}."
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
        holds = "is a pickled network" if checkpoint.pickled else "holds objects beside tensors"
        notes.append(f"The file {holds}, of which the tensors alone were read.")
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
    except (Exception, SystemExit) as error:  # whatever a stranger's factory raises
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
    return copy_network(model).float()


# --- files ----------------------------------------------------------------------------------------


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file; of an index that of its files' ones, in its order."""
    try:
        hashes = [pooch.file_hash(file) for file in weights_files(path)]
        return hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest()
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
