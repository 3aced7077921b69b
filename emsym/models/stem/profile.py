"""The stem profile: how much of the weights that read the stack each slice has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class StemProfile:
    """Where a bias sits: each slice's share of the L2 norm of the weights that read the stack."""

    where: str
    """The parameters, as the network names them."""
    share: np.ndarray
    """(S,) of all filters together; adds up to 1."""
    filters: np.ndarray
    """(F, S) of each filter, branch by branch; NaN for a filter of zeros."""


def stem_profile(model: "nn.Module", slices: int | None = None) -> StemProfile:
    """share_s = ‖w_s‖ / Σ_s ‖w_s‖, of all filters and of each, w_s being what meets slice s.

    The cause beside the effect: for a network whose stem is a mirror image of itself, the shares
    of −s and +s are equal. They also are where filters merely have equal norms, so equal shares do
    not prove a symmetric network. `slices` is how many the network reads; None finds it out.

    Raises `UserError`, naming the module, where what reads the stack is not found.
    """
    from emsym.models.copying import copy_network
    from emsym.models.interventions.mirror_tied import is_tied, mirror_untie
    from emsym.models.stem.find import find_stem
    from emsym.models.stem.stem import slice_planes, stem_tensors

    if is_tied(model):
        model = copy_network(model)
        mirror_untie(model)
    stem = find_stem(model, slices)
    tensors = stem_tensors(model, stem)
    norms = np.concatenate(
        [
            slice_planes(tensors[read.path], read).flatten(2).norm(dim=2).double().numpy(force=True)
            for read in stem.reads
        ]
    )
    whole = np.linalg.norm(norms, axis=0, keepdims=True)
    return StemProfile(str(stem), _shares(whole)[0], _shares(norms))


def _shares(norms: np.ndarray) -> np.ndarray:
    total = norms.sum(1, keepdims=True)
    return np.divide(norms, total, out=np.full_like(norms, np.nan), where=total > 0)
