"""Copies of networks, of those, too, that keep tensors of their last pass."""

import copy
from collections.abc import Iterator

from torch import Tensor, nn


def copy_network(model: nn.Module) -> nn.Module:
    """Return a deep copy of a network; what it keeps of its last pass is cut off from that."""
    memo: dict[int, object] = {
        id(tensor): tensor.detach().clone() for tensor in kept_tensors(model)
    }
    return copy.deepcopy(model, memo)


def kept_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors of a pass that modules keep, which can be copied only without its graph."""
    for module in model.modules():
        for value in vars(module).values():
            several = isinstance(value, list | tuple | dict)
            values = value.values() if isinstance(value, dict) else value if several else [value]
            for each in values:
                if isinstance(each, Tensor) and not each.is_leaf:
                    yield each
