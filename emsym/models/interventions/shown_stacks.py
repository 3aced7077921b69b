"""Interventions that change which stacks a network is shown in training.

`zflip` reverses a stack, `side_shuffle` swaps the two slices of each distance, and `slice_dropout`
leaves neighbours out.
"""

import torch
from torch import Tensor

DROPPED = 0.2
"""The chance that `slice_dropout` replaces a neighbour. This project's choice."""


def zflip(stacks: Tensor, generator: torch.Generator) -> Tensor:
    """Reverse each of the stacks (N, S, H, W) along S with probability one half.

    `generator` is one of the CPU, whichever device the stacks are on.
    """
    flipped = torch.rand(len(stacks), generator=generator) < 0.5
    return torch.where(flipped.to(stacks.device)[:, None, None, None], stacks.flip(1), stacks)


def side_shuffle(stacks: Tensor, generator: torch.Generator) -> Tensor:
    """Swap slices s and −s of each of the stacks (N, S, H, W), for every s with chance one half.

    Of three slices it is what `zflip` does; of more, no order along z is left.
    `generator` is one of the CPU, whichever device the stacks are on.
    """
    half = stacks.shape[1] // 2
    side = torch.rand(len(stacks), half, generator=generator) < 0.5
    swapped = torch.cat([side, side.new_zeros(len(stacks), 1), side.flip(1)], 1)
    return torch.where(swapped.to(stacks.device)[:, :, None, None], stacks.flip(1), stacks)


def slice_dropout(stacks: Tensor, generator: torch.Generator) -> Tensor:
    """Replace each neighbour in the stacks (N, S, H, W) by 0, their mean, with chance `DROPPED`.

    `generator` is one of the CPU, whichever device the stacks are on.
    """
    dropped = torch.rand(stacks.shape[:2], generator=generator) < DROPPED
    dropped[:, stacks.shape[1] // 2] = False
    return stacks.masked_fill(dropped.to(stacks.device)[:, :, None, None], 0)
