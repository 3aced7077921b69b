"""The intervention `mirror-tied`: the stem stays symmetric about the centre while it is trained.

So f(x) = f(mirror x) always holds.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from emsym.models.stem.find import check_unscripted
from emsym.models.stem.stem import Stem, opposite_inputs, submodule


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
