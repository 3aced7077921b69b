"""Finding the stem: which weights read the raw stack, and whether they can be treated."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from emsym.errors import UserError, error_with_type, first_names
from emsym.models.stem.slice_tracer import Read
from emsym.models.stem.stem import Stem, named_tensor, stem_tensors, submodule
from emsym.models.stem.traced_run import SIZES, trace
from emsym.protocol import MAX_SLICES

VOLUMES = (
    "This is a 3D network: its first weights read volumes, and it does not run on stacks of slices "
    "(N, S, H, W), which emsym is for."
)
CHANNELS = (3, 5, 7, 9, 1)
"""How many slices a network is tried with where nobody says how many it reads."""


def find_stem(model: nn.Module, slices: int | None = None) -> Stem:
    """Return the weights that read the raw stack, found by following a stack through the network.

    `slices` is how many the network reads; None tries 3, 5, 7, 9 and 1. Nothing is computed where
    shapes suffice, else one forward pass on a small stack. The network is left as it was.

    Raises `UserError`, naming the module and the reason, where the network does not run on one
    stack (1, `slices`, H, W), or has a stem that cannot be treated.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"A network is a torch.nn.Module, and not a {type(model).__name__}.")
    check_initialised(model)
    failures: list[Exception] = []
    sizes = SIZES[:1] if reads_volumes(model) else SIZES  # all of them would take minutes
    for count in CHANNELS if slices is None else (slices,):
        try:
            stem_trace = trace(model, count, sizes=sizes)
        except Exception as error:  # whatever a stranger's network raises
            failures.append(error)
            continue
        _check_reads(model, stem_trace.reads, count)
        return Stem(count, stem_trace.reads, stem_trace.constants)
    first, count = failures[0], slices or CHANNELS[0]
    if reads_volumes(model):
        raise UserError(VOLUMES) from first
    raise UserError(
        f"The network does not run on one stack of {count} slices, (1, {count}, 64, 64), nor on "
        f"another size ({error_with_type(first)}): where it takes its input in another way, wrap "
        "it in a module whose forward(x) calls it."
    ) from first


def has_lazy_layers(model: nn.Module) -> bool:
    """Return whether a network has layers that take their size from the first input."""
    return any(map(is_lazy, (*model.parameters(), *model.buffers())))


def check_initialised(model: nn.Module) -> None:
    """Raise `UserError` for a network with layers that were not given a first input yet."""
    if has_lazy_layers(model):
        raise UserError(
            "The network has layers that take their size from the first input, and so no weights "
            "yet: run it on one stack first, and load its weights."
        )


def reads_volumes(model: nn.Module) -> bool:
    """Return whether a network's first weights are those of a 3D convolution."""
    first = next((weight for weight in model.parameters() if weight.ndim >= 4), None)
    return first is not None and first.ndim == 5


def wider_stem(model: nn.Module, stem: Stem, slices: int) -> Stem:
    """Return the stem once it is wide enough for `slices` slices; the network is not touched.

    Raises `UserError` for an even number, one over `MAX_SLICES`, and a network in which more than
    the stem counts on its number of slices.
    """
    check_slices(slices)
    if slices == stem.slices:
        return stem
    check_unscripted(model, stem)
    tensors = stem_tensors(model, stem)
    replaced = {}
    for read in stem.reads:
        shape = list(tensors[read.path].shape)
        shape[read.dim] += read.slots.count(0) * (slices - stem.slices)
        replaced[read.path] = tensors[read.path].new_zeros(shape)
    for constant in stem.constants:
        shape = list(tensors[constant.name].shape)
        shape[constant.dim] = slices
        replaced[constant.name] = tensors[constant.name].new_ones(shape)
    try:
        stem_trace = trace(model, slices, replaced)
    except Exception as error:  # whatever a stranger's network raises
        raise UserError(
            f"The network cannot be made to read {slices} slices, because more than its stem "
            f"({stem}) counts on {stem.slices}: {error_with_type(error)}."
        ) from error
    _check_reads(model, stem_trace.reads, slices)
    if [read.path for read in stem_trace.reads] != [read.path for read in stem.reads]:
        raise UserError(f"The network reads {slices} slices by other layers than {stem.slices}.")
    # not those found now: one slice alone has nothing that tells slices apart
    return Stem(slices, stem_trace.reads, stem.constants)


def check_unscripted(model: nn.Module, stem: Stem) -> None:
    """Raise `UserError` where a stem is TorchScript, which has a fixed width and no properties."""
    for path in stem_tensors(model, stem):
        module = submodule(model, path.rpartition(".")[0])
        if isinstance(module, torch.jit.ScriptModule):
            raise UserError(
                f"The stem ({stem}) is TorchScript, which can neither read another number of "
                "slices nor be tied: treat the network that it was made from, and script that."
            )


def check_slices(slices: int) -> None:
    """Raise `UserError` for a number of slices that no stack has."""
    whole = isinstance(slices, int) and not isinstance(slices, bool)
    if not whole or not 1 <= slices <= MAX_SLICES or slices % 2 == 0:
        raise UserError(
            f"A slice stack has an odd number of slices, at most {MAX_SLICES}, not {slices}."
        )


def _check_reads(model: nn.Module, reads: tuple[Read, ...], slices: int) -> None:
    """Raise `UserError` where the weights that read the stack cannot be filled slice by slice."""
    cannot = "The stem cannot be treated: "
    if not reads:
        raise UserError(
            f"{cannot}no layer with weights reads the slices; the network drops them, or mixes "
            "them before its first layer."
        )
    for read in reads:
        if "parametrizations" in read.module.split("."):
            raise UserError(
                f"{cannot}the weight of {read.module.partition('.parametrizations')[0]} is "
                "parametrised: call torch.nn.utils.parametrize.remove_parametrizations on it first,"
                " or emsym.mirror_untie where it is mirror-tied."
            )
    refused = dict.fromkeys(f"{read.where} {read.refused}" for read in reads if read.refused)
    if refused:
        raise UserError(
            f"{cannot}{first_names(refused)}; let the slices first meet a layer whose weights "
            "belong to one slice each, such as a plain convolution, or average the network's "
            "answers to each stack and to its mirror image."
        )
    for read in reads:
        again = [other.path for other in reads].count(read.path)
        if again > 1:
            raise UserError(
                f"{cannot}{read.where} is shared by {again} branches: give each branch a layer "
                "of its own."
            )
        counts = {read.slots.count(slot) for slot in range(slices)}
        if len(counts) != 1 or 0 in counts:
            seen = ", ".join(str(slot) for slot in sorted({*read.slots} - {-1}))
            raise UserError(
                f"{cannot}{read.where} sees slice {seen} of 0 … {slices - 1} alone: let one layer "
                "see them all."
            )
        check_type(read, named_tensor(model, read.path))


def check_type(read: Read, weight: Tensor) -> None:
    """Raise `UserError` for a stem's weight in which a strategy's sums would be too coarse."""
    if weight.dtype not in (torch.float32, torch.float64):
        told = str(weight.dtype).removeprefix("torch.")
        way = "turn the network into float32 with model.float() first"
        if not weight.dtype.is_floating_point:
            way = "treat the network before it is quantised"
        raise UserError(f"The stem cannot be treated: {read.where} has weights in {told}: {way}.")
