"""The flip error layer by layer: does the decoder heal or amplify what the stem breaks?

Of each layer's answer h to a stack and h' to the reversed one, both (C, H, W), it is

    Σ (h − h')² / Σ ((h − m)² + (h' − m)²),

with m the mean of both over a channel's pixels: 0 where they are the same, 1 where they are as far
apart as two maps that have nothing to do with each other, and at most 2, where one is the other's
negative. Scales and offsets of a layer cancel, so that layers compare with each other and with the
logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from emsym.scores.dense_logits import ROUNDING, DenseLogits

LEAST = 4
"""Layers of fewer pixels are no maps: those of a squeeze, which holds a number for each channel."""


@dataclass(frozen=True)
class LayerFlip:
    """One layer, as often as it is run."""

    name: str
    """The module's name in the network; ``logits`` for its answer."""
    size: tuple[int, int]
    """Height and width of its map."""
    values: np.ndarray
    """(n,) in 0..2, one for each stack; NaN where the layer's map is the same everywhere."""


@dataclass(frozen=True)
class LayerFlips:
    """The layers with weights that give maps, in the order in which they are run."""

    layers: list[LayerFlip]
    """Empty where the network hides its layers, as a program or a function does."""
    logits: LayerFlip

    @property
    def stem(self) -> LayerFlip | None:
        """The first layer."""
        return self.layers[0] if self.layers else None

    @property
    def bottleneck(self) -> LayerFlip | None:
        """The last of the layers whose maps are the smallest: where an encoder ends."""
        least = min((np.prod(layer.size) for layer in self.layers), default=0)
        return next((a for a in reversed(self.layers) if np.prod(a.size) == least), None)


def layer_flips(dense: DenseLogits, x: Tensor) -> LayerFlips:
    """Compare every layer's answers to stacks x (n, S, H, W) and to the reversed stacks."""

    def run(part: slice) -> list[LayerFlip]:
        made: list[LayerFlip] = []
        model = dense.thread_model
        watched = [] if isinstance(model, torch.jit.ScriptModule) else _with_weights(model)
        hooks = [
            module.register_forward_hook(
                lambda module, given, answer, name=name: _keep(made, name, answer)
            )
            for name, module in watched
        ]
        both = torch.cat([x[part], x[part].flip(1)])
        try:
            with torch.no_grad():
                logits = dense(both)
        finally:
            for hook in hooks:
                hook.remove()
        made = [layer for layer in made if len(layer.values) == len(both) // 2]
        return [*made, _compared("logits", logits[:, None])]

    pixels = 2 * x.shape[-1] * x.shape[-2]  # a stack and its mirror image are run together
    parts = [made for _, made in dense.in_chunks(run, len(x), pixels)]
    *layers, logits = joined(parts)
    return LayerFlips(layers, logits)


def joined(parts: Sequence[Sequence[LayerFlip]]) -> list[LayerFlip]:
    """Put the layers of several groups of stacks together, the logits last.

    The logits alone where the groups were run through other layers, as some networks choose.
    """
    names = [[layer.name for layer in part] for part in parts]
    if any(each != names[0] for each in names):
        parts = [part[-1:] for part in parts]
    return [
        LayerFlip(same[0].name, same[0].size, np.concatenate([each.values for each in same]))
        for same in zip(*parts, strict=True)
    ]


def _with_weights(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules with a weight of several dimensions; the network itself is none."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if name
        and isinstance(weight := getattr(module, "weight", None), Tensor)
        and weight.ndim > 1
    ]


def _keep(made: list[LayerFlip], name: str, answer: object) -> None:
    """Compare both halves of a layer's answer at once, so that none is kept."""
    if not isinstance(answer, Tensor) or answer.ndim != 4 or not answer.is_floating_point():
        return
    if answer.shape[-1] * answer.shape[-2] >= LEAST:
        made.append(_compared(name, answer))


def _compared(name: str, answer: Tensor) -> LayerFlip:
    """Compare the first half of a batch with the second: (2 n, C, H, W)."""
    there, back = answer.detach().float().tensor_split(2)
    mean = (there.mean((2, 3), keepdim=True) + back.mean((2, 3), keepdim=True)) / 2
    apart = (there - back).square().sum((1, 2, 3)).double()
    spread = (there - mean).square().sum((1, 2, 3)) + (back - mean).square().sum((1, 2, 3))
    size = there.square().sum((1, 2, 3)) + back.square().sum((1, 2, 3))
    values = torch.where(spread > ROUNDING**2 * size, apart / spread, torch.nan)
    height, width = answer.shape[-2:]
    return LayerFlip(name, (height, width), values.numpy(force=True))
