"""Repairing the stem in a checkpoint: a file of weights, whose network may be unknown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, first_names
from emsym.models.architectures import ARCHITECTURES, architecture_name
from emsym.models.inits import Init
from emsym.models.stem.symmetrize import (
    Changes,
    describe_changes,
    parse_repair_init,
    repaired_tensors,
)
from emsym.plugins import load_factory

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emsym.models.pretrained.checkpoint import Checkpoint
    from emsym.models.stem.stem import Stem

_LATE = re.compile(
    r"(^|\.)(up|head|final|out|outc|last|decoder|classifier|segmentation_head)[._\d]"
)
"""The names of layers that are never the first."""


def symmetrize_checkpoint(
    path: Path,
    init: str,
    output: Path | None,
    architecture: str | None = None,
    slices: int | None = None,
    factory: str | None = None,
) -> Changes:
    """Fill the stem in a file of weights anew and write the whole to `output`; say what changed.

    With `architecture`, or a `factory` as ``FILE.py:NAME``, the stem is found by running that
    network, and every tensor of it must be in the file; so it is in a folder whose description
    tells how the network is built. Else it is the one tensor of the shape (O, 3, kH, kW). The
    file may hold more than the weights (an optimizer's state, an epoch), which is kept unless
    it has objects that only unpickling would read, and the names may have a prefix.
    `mirror-tied` makes the weights symmetric; a file cannot keep them so in training. `output`
    None writes nothing.

    Raises `UserError` as `symmetrize` does, for a file that is not a state dict, for one in which
    the stem is not found, and for an `output` that exists or cannot be written.
    """
    from emsym.models.packaged.open_package import open_package

    chosen = parse_repair_init(init)
    if output is not None and output.exists():
        raise UserError(f"{output} exists: give another name, or remove it first.")
    if architecture is not None and factory is not None:
        raise UserError("Give --architecture or --model, not both.")
    with open_package(path, own=architecture is not None or factory is not None) as package:
        name, build = package.name, package.factory
        if architecture is not None:
            name = architecture_name(architecture)
            build = ARCHITECTURES.get(name)
        elif factory is not None:
            name, build = factory, load_factory(factory)
        return _repaired(package.file, chosen, output, slices, name, build)


def _repaired(
    path: Path,
    init: Init,
    output: Path | None,
    slices: int | None,
    name: str,
    build: Callable[[], Any] | None,
) -> Changes:
    """Fill the stem in the file itself; `build` returns the network `name`, where that is known."""
    from emsym.models.pretrained.checkpoint import read_checkpoint, write_checkpoint
    from emsym.models.stem.find import check_type, wider_stem

    checkpoint = read_checkpoint(path)
    if build is None:
        stem, prefix = _stem_by_shape(checkpoint), ""
        after = _convolution_stem(stem.reads[0].path, 3 if slices is None else slices)
        model = None
    else:
        model = _meta_network(name, build)
        rgb, stem, prefix = _stem_by_running(model, checkpoint.state, path, name)
        after = stem if slices is None else wider_stem(model, rgb, slices)
    names = [read.path for read in stem.reads] + [constant.name for constant in stem.constants]
    stored = {name: checkpoint.state[prefix + name] for name in names}
    before = {name: _computable(tensor) for name, tensor in stored.items()}
    for read in stem.reads:
        check_type(read, before[read.path])
    made = repaired_tensors(before, stem, after, init)
    made = {name: made[name].to(stored[name].dtype) for name in made}
    changed = {
        prefix + alias: made[name]
        for name in names
        for alias in ([name] if model is None else _aliases(model, name))
    }
    if output is not None:
        write_checkpoint(checkpoint, changed, output)
    written = {name: _computable(tensor) for name, tensor in made.items()}
    changes = describe_changes(init, before, stem, written, after)
    return replace(changes, followed=build is not None, notes=_loading_notes(checkpoint, output))


def _computable(tensor: Tensor) -> Tensor:
    """Return a tensor of half precision in single precision, and any other as it is."""
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 2 else tensor


def _loading_notes(checkpoint: Checkpoint, output: Path | None) -> tuple[str, ...]:
    """Say what is left out of the file that is written, and how it is loaded."""
    if checkpoint.whole:
        return ()
    holds = "objects beside tensors"
    if checkpoint.pickled:
        holds = f"a pickled network ({first_names([checkpoint.pickled])})"
    reader = "torch.load"
    if output is not None and output.suffix == ".safetensors":
        reader = "safetensors.torch.load_file"
    name = "OUTPUT" if output is None else output.name
    return (
        f"{checkpoint.path} holds {holds}, and unpickling runs code: its tensors alone were read, "
        "and a state dict of them is all that is written. Load it into the network with "
        f'`model.load_state_dict({reader}("{first_names([name])}"))`.',
    )


def _convolution_stem(name: str, slices: int) -> Stem:
    """Return a stem of one plain convolution for `slices` slices, its weight called `name`."""
    from emsym.models.stem.find import check_slices
    from emsym.models.stem.slice_tracer import Read
    from emsym.models.stem.stem import Stem

    check_slices(slices)
    module, _, parameter = name.rpartition(".")
    return Stem(slices, (Read(module, "convolution", parameter, 1, tuple(range(slices))),))


def _stem_by_shape(checkpoint: Checkpoint) -> Stem:
    from emsym.models.pretrained.likely_architecture import architecture_option

    path, state = checkpoint.path, checkpoint.state
    names = [name for name, value in state.items() if value.ndim == 4 and value.shape[1] == 3]
    if len(names) != 1:
        seen = f"{len(names)} tensors ({first_names(names)})" if names else "no tensor"
        raise UserError(
            f"{path} has {seen} of the shape (filters, 3, height, width), so its stem cannot be "
            f"told: say which network it belongs to with {architecture_option(checkpoint)}, or "
            "with --model FILE.py:NAME, or call emsym.symmetrize(model, …) in Python."
        )
    # a file of torch.save keeps the order of the layers; one of safetensors is sorted
    before = [] if path.suffix == ".safetensors" else list(state)[: list(state).index(names[0])]
    earlier = [name for name in before if state[name].ndim >= 4]
    volumes = [name for name, value in state.items() if value.ndim == 5]
    late = _LATE.search(names[0])
    if earlier or volumes or late:
        why = (
            f"{first_names(earlier)} comes before it"
            if earlier
            else f"{first_names(volumes)} reads volumes"
            if volumes
            else "its name is that of a late layer"
        )
        raise UserError(
            f"{path} has one tensor of the shape (filters, 3, height, width), {names[0]}, but it "
            f"may not be the stem, as {why}: say which network it belongs to with "
            f"{architecture_option(checkpoint)}, or with --model FILE.py:NAME."
        )
    return _convolution_stem(names[0], 3)


def _meta_network(name: str, build: Callable[[], Any]) -> nn.Module:
    """Return a network that has shapes, and no values in memory where it can do without.

    Raises `UserError` where it cannot be built, or is no module.
    """
    import torch

    from emsym.models.user_network import build_user_network

    try:
        with torch.device("meta"):
            return build_user_network(name, build)
    except UserError:  # perhaps of one that wants values while it is built
        return build_user_network(name, build)


def _stem_by_running(
    model: nn.Module, state: Mapping[str, Tensor], path: Path, architecture: str
) -> tuple[Stem, Stem, str]:
    """Return the network's stem, that for as many slices as the weights have, and their prefix."""
    from emsym.models.pretrained.tensor_names import match_tensors, network_prefixes
    from emsym.models.stem.find import find_stem, wider_stem

    rgb = find_stem(model)
    first = rgb.reads[0]
    own = model.state_dict()
    prefixes = network_prefixes(own, state, first.path)
    wrong = f"{path} does not hold the weights of {architecture}: "
    if not prefixes and any(".parametrizations." in f".{key}" for key in state):
        raise UserError(
            f"{wrong}some are parametrised; save them after emsym.mirror_untie(model), or leave "
            "--architecture out."
        )
    if not prefixes:
        raise UserError(f"{wrong}there is no '{first.path}', which reads the slices there.")
    if len(prefixes) > 1:
        raise UserError(
            f"{path} holds {len(prefixes)} networks, under {first_names(prefixes)}: save the state "
            "dict of one alone."
        )
    given = {key[len(prefixes[0]) :]: v for key, v in state.items() if key.startswith(prefixes[0])}
    dims = {read.path: read.dim for read in rgb.reads}
    dims |= {constant.name: constant.dim for constant in rgb.constants}
    aliases = [(alias, dim) for name, dim in dims.items() for alias in _aliases(model, name)]
    for name, dim in aliases:  # of which the number of slices decides
        if name in given and given[name].ndim == own[name].ndim:
            shape = list(own[name].shape)
            shape[dim] = given[name].shape[dim]
            own[name] = own[name].new_empty(shape)
    for name, value in given.items():  # which keep their precision, whatever the network's
        if name in own and own[name].is_floating_point() and value.is_floating_point():
            own[name] = own[name].to(value.dtype)
    fit = match_tensors(own, given)
    if fit.mismatches:
        raise UserError(f"{wrong}{fit.mismatch_text()}.")
    width = given[first.path].shape[first.dim] - first.slots.count(-1)
    return rgb, wider_stem(model, rgb, width // first.slots.count(0)), prefixes[0]


def _aliases(model: nn.Module, name: str) -> list[str]:
    """Return the names of one tensor of a network, which may hold a layer in several places."""
    tensors: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    tensors |= model.named_buffers(remove_duplicate=False)
    return [other for other, tensor in tensors.items() if tensor is tensors[name]]
