"""Batch norms folded into the convolutions before them, where no gradient is asked for."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from emsym.scores.chunks import shared
from emsym.scores.dense_logits import DenseLogits

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, Conv2dSame)
NORMS = (nn.BatchNorm2d, BatchNormAct2d)
"""Types whose meaning is known; what is derived from them may do anything."""

CHECKED = 4
"""How many stacks an answer is checked on: a network may take another way for another stack."""

TOLERANCE = 1e-5
"""How far, as a part of the answer's range, an answer may move for a network to be taken."""


def folded(dense: DenseLogits, x: Tensor) -> DenseLogits:
    """Return a network of the same answers, but for rounding, in which batch norms are folded.

    A norm in eval mode scales and shifts each channel, which the convolution before it can do by
    itself: a pass then reads and writes less. `x`, (N, S, H, W) float32 on the network's device,
    are stacks, of which the first is used to see which norm follows which convolution, and the
    first `CHECKED` to check the answer. `dense` itself is returned where there is no such pair,
    where the network cannot be copied, and where an answer changes by more than `TOLERANCE` of its
    range: where something else, too, takes what a convolution gives, for example.
    """
    try:
        model = shared(dense.model)
        other = DenseLogits(model, dense.channel, differentiable=dense.differentiable)
    except Exception:  # whatever keeps a stranger's network from being copied
        return dense
    for name in ("chunk", "reversed", "channels_last"):
        setattr(other, name, getattr(dense, name))
    stacks = x[:CHECKED].split(1)  # one at a time, as they may be large
    try:
        with torch.no_grad():
            with _followers(model) as pairs:
                expected = [other(stacks[0])]
            if not _fold(model, pairs):
                return dense
            expected += [dense(stack) for stack in stacks[1:]]
            if dense.channels_last:  # as it would bring them into that order for each pass
                model.to(memory_format=torch.channels_last)
            same = all(map(_same, map(other, stacks), expected))
    except Exception:  # as where a network counts on its norms being what they were
        return dense
    return other if same else dense


def _same(answer: Tensor, expected: Tensor) -> bool:
    change = (answer - expected).abs().max()
    return bool(change <= TOLERANCE * (expected.max() - expected.min()))


Pairs = dict[nn.Module, nn.BatchNorm2d]


@contextmanager
def _followers(model: nn.Module) -> Iterator[Pairs]:
    """Fill, in passes through the network, which norm alone takes what a convolution gives."""
    before: dict[nn.Module, set[nn.Module | None]] = defaultdict(set)
    after: dict[nn.Module, list[nn.BatchNorm2d]] = defaultdict(list)
    calls: dict[nn.Module, int] = defaultdict(int)
    given: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensors, lest another get their address
    pairs: Pairs = {}

    def of_convolution(module: nn.Module, args: object, answer: Tensor) -> None:
        calls[module] += 1
        given[id(answer)] = module, answer

    def of_norm(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        source = given.get(id(args[0]), (None,))[0]
        before[module].add(source)
        if source is not None:
            after[source].append(module)

    hooks = [m.register_forward_hook(of_convolution) for m in _plain(model, CONVOLUTIONS)]
    hooks += [m.register_forward_pre_hook(of_norm) for m in _plain(model, NORMS)]
    try:
        yield pairs
    finally:
        for hook in hooks:
            hook.remove()
    for conv, norms in after.items():
        if set(norms) == {norms[0]} and before[norms[0]] == {conv} and len(norms) == calls[conv]:
            pairs[conv] = norms[0]


def _plain(model: nn.Module, types: tuple[type[nn.Module], ...]) -> Iterator[nn.Module]:
    """Modules of exactly these types, without hooks of others."""
    for module in model.modules():
        if type(module) in types and not module._forward_hooks and not module._forward_pre_hooks:
            yield module


def _fold(model: nn.Module, pairs: Pairs) -> bool:
    """Replace each convolution by one that its norm is folded into; return whether any was."""
    instead: dict[nn.Module, nn.Module] = {}
    for conv, norm in pairs.items():
        if norm.training or norm.running_mean is None:
            continue
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        instead[conv] = fuse_conv_bn_eval(conv, norm, isinstance(conv, nn.ConvTranspose2d))
        instead[norm] = nn.Identity()
        if isinstance(norm, BatchNormAct2d):  # eval mode drops nothing
            instead[norm] = norm.get_submodule("act")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child in instead:
                setattr(parent, name, instead[child])
    return bool(instead)
