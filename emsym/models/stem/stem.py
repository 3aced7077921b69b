"""The stem: the weights that read the raw stack, and what each slice meets of them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emsym.models.stem.slice_tracer import Constant, Read


@dataclass(frozen=True)
class Stem:
    """The weights and constants that read the raw stack of a network.

    `reads` are the weights, several where the stem has branches; `constants` are parameters and
    buffers with a value for each slice that the stack meets before, such as a normalisation's.
    """

    slices: int
    reads: tuple[Read, ...]
    constants: tuple[Constant, ...] = ()

    def __str__(self) -> str:
        parts = [read.where for read in self.reads]
        parts += [f"{constant.name}, one value for each slice" for constant in self.constants]
        return "; ".join(parts)


def stem_tensors(model: nn.Module, stem: Stem) -> dict[str, Tensor]:
    """Return the stem's weights and constants by their names; they share the network's memory."""
    names = [read.path for read in stem.reads] + [constant.name for constant in stem.constants]
    return {name: named_tensor(model, name).detach() for name in names}


def submodule(model: nn.Module, path: str) -> nn.Module:
    """Return a module by its path, be it TorchScript or named as a method is, such as ``half``."""
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    return dict(model.named_modules(remove_duplicate=False))[path]


def slice_planes(weight: Tensor, read: Read) -> Tensor:
    """Return what each slice meets of a weight: (O, S, kH, kW), in the order of the slices."""
    planes = weight.movedim(read.dim, 1)[:, slice_inputs(read)]  # (O, S, P, …)
    return (planes.unsqueeze(-1) if planes.ndim == 3 else planes).flatten(2, -2)


def opposite_inputs(read: Read) -> tuple[int, ...]:
    """Return for each index of the weight's inputs that of the same input of the opposite slice."""
    slots = read.slots
    of = {slot: [i for i, other in enumerate(slots) if other == slot] for slot in {*slots}}
    last = max(slots)
    return tuple(
        i if slot < 0 else of[last - slot][of[slot].index(i)] for i, slot in enumerate(slots)
    )


def slice_inputs(read: Read) -> Tensor:
    """Return which inputs of the weight each slice has, (S, P)."""
    slots = torch.tensor(read.slots)
    return torch.stack([torch.nonzero(slots == s)[:, 0] for s in range(max(read.slots) + 1)])


def named_tensor(model: nn.Module, path: str) -> Tensor:
    """Return a parameter or buffer by its path."""
    owner, _, own = path.rpartition(".")
    return getattr(submodule(model, owner), own)
