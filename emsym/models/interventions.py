"""Interventions, which go beyond initialisation and last for as long as a network is trained.

`mirror-tied` keeps the stem symmetric about the centre, so that f(x) = f(mirror x) always holds.
`zflip-augment` shows each stack of a training batch reversed with probability one half,
`side-shuffle` swaps the two slices of each distance, and `slice-dropout` leaves neighbours out.
`flip-loss` asks in training for the same answer to a stack and to the stack reversed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from emsym.models.inits import SIDE_SHUFFLE, SLICE_DROPOUT, ZFLIP
from emsym.models.stem.find import check_unscripted
from emsym.models.stem.stem import Stem, opposite_inputs, submodule

DROPPED = 0.2
"""The chance that `slice_dropout` replaces a neighbour. This project's choice."""

FLIP_LOSS_WEIGHT = 10.0
"""The weight of `flip_loss` beside a loss of about one half: of a network whose probabilities move
by .05 when stacks are reversed, it is .025. This project's choice."""


class MirrorTied(nn.Module):
    """A parametrisation: the mean of a tensor and its mirror image, so that w_s = w_{−s}.

    `order` gives for each index of dimension `dim` that of the slice opposite. Sums commute, so
    both sides are equal to the last bit; and the gradient is symmetric, so whatever an optimizer
    does to single values (weight decay, momentum) keeps them equal.
    """

    order: Tensor

    def __init__(self, order: tuple[int, ...], dim: int) -> None:
        """Prepare for a tensor with ``len(order)`` indices along `dim`."""
        super().__init__()
        # not in the state dict, which so has nothing but the weight
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.dim = dim

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the symmetric tensor, of the same shape."""
        return (tensor + tensor.index_select(self.dim, self.order)) / 2

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """Return what is kept of a tensor that is assigned: its symmetric part."""
        return self.forward(tensor)


class _TieStatistic:
    """A forward hook that keeps a normalisation's running statistic symmetric."""

    def __init__(self, name: str, tie: MirrorTied) -> None:
        self.name, self.tie = name, tie

    def __call__(self, module: nn.Module, *_: object) -> None:
        if module.training:
            # `data`, for backward need not know: in training it uses the batch's own statistics
            statistic = getattr(module, self.name).data
            statistic.copy_(self.tie.to(statistic.device)(statistic))


def mirror_tie(model: nn.Module, stem: Stem) -> None:
    """Keep the stem symmetric about the centre from now on, whatever trains it.

    Each weight of the stem becomes a `torch.nn.utils.parametrize` parametrisation; weights that
    are not symmetric yet become the mean of themselves and their mirror image. Parameters keep
    their identity, so an optimizer built before goes on. `mirror_untie` takes it back.

    Raises `UserError` for TorchScript; the network is then as it was.
    """
    check_unscripted(model, stem)
    for path, tie in mirror_parametrisations(stem).items():
        owner, _, name = path.rpartition(".")
        module = submodule(model, owner)
        tensor = getattr(module, name)
        tie = tie.to(tensor.device)
        if isinstance(tensor, nn.Parameter):
            parametrize.register_parametrization(module, name, tie)
        else:  # a buffer, which a normalisation may update
            tensor.copy_(tie(tensor))
            module.register_forward_hook(_TieStatistic(name, tie))


def mirror_parametrisations(stem: Stem) -> dict[str, MirrorTied]:
    """Return what makes each tensor of a stem symmetric, by the tensor's name."""
    opposite = tuple(reversed(range(stem.slices)))
    return {
        **{read.path: MirrorTied(opposite_inputs(read), read.dim) for read in stem.reads},
        **{constant.name: MirrorTied(opposite, constant.dim) for constant in stem.constants},
    }


def is_tied(model: nn.Module) -> bool:
    """Return whether a weight of the network is kept symmetric by `mirror_tie`."""
    return any(isinstance(module, MirrorTied) for module in model.modules())


def mirror_untie(model: nn.Module) -> None:
    """Take `mirror_tie` back: plain weights, equal to those that the network had just now."""
    for module in list(model.modules()):
        for name, chain in list(getattr(module, "parametrizations", {}).items()):
            if any(isinstance(link, MirrorTied) for link in chain):
                # A copy shares its class with the network that it was copied from, and what is
                # removed below is removed from the class.
                own = type(module)
                module.__class__ = type(own.__name__, own.__bases__, dict(own.__dict__))
                parametrize.remove_parametrizations(module, name)
        for key, hook in list(module._forward_hooks.items()):
            if isinstance(hook, _TieStatistic):
                del module._forward_hooks[key]


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


SHOWN: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    ZFLIP: zflip,
    SIDE_SHUFFLE: side_shuffle,
    SLICE_DROPOUT: slice_dropout,
}
"""The interventions that change which stacks (N, S, H, W) a network is shown in training."""


def flip_loss(model: nn.Module, stacks: Tensor, logits: Tensor) -> Tensor:
    """Return the mean of (p(x) − p(mirror x))² over stacks x (N, S, H, W).

    Their logits (N, 1, H, W) are known. The second pass leaves running statistics of normalisation
    as they are.
    """
    with _without_running_statistics(model):
        reversed_logits = model(stacks.flip(1).to(logits.dtype)).to(logits.dtype)
    return (logits.sigmoid() - reversed_logits.sigmoid()).square().mean()


@contextmanager
def _without_running_statistics(model: nn.Module) -> Iterator[None]:
    kept = [m for m in model.modules() if getattr(m, "track_running_stats", False)]
    for module in kept:
        module.track_running_stats = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in kept:
            module.track_running_stats = True  # type: ignore[assignment]
