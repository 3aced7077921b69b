"""A segmentation network as the scores see it: one logit per pixel, sections of any size."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from emsym.errors import UserError

STRIDE = 32
"""Networks halve their input five times, so height and width must be multiples of this."""

CHUNK = 2**17
"""Pixels of one pass through a network: eight sections of 128², which bounds the memory."""


class DenseLogits(nn.Module):
    """(N, S, H, W) → (N, H, W): reflects the input up to the network's stride and crops the logit.

    Raises `UserError` when the network gives anything but one logit per pixel.
    """

    def __init__(self, model: nn.Module) -> None:
        """`model` gives (N, 1, H, W) for H and W that are multiples of the stride."""
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        height, width = x.shape[-2:]
        below, right = -height % STRIDE, -width % STRIDE
        mode = "reflect" if below < height and right < width else "replicate"
        padded = nn.functional.pad(x, (0, right, 0, below), mode=mode) if below + right else x
        logits = self.model(padded)
        expected = (len(x), 1, *padded.shape[-2:])
        if not isinstance(logits, Tensor) or logits.shape != expected:
            told = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UserError(f"The network gives {told} instead of one logit per pixel, {expected}.")
        return logits[:, 0, :height, :width]


def chunks(x: Tensor) -> Iterator[slice]:
    """Slices of the first axis of (N, …, H, W) that hold at most `CHUNK` pixels, or one section."""
    size = max(1, CHUNK // (x.shape[-1] * x.shape[-2]))
    return (slice(start, start + size) for start in range(0, len(x), size))


def probabilities(dense: DenseLogits, x: Tensor) -> Tensor:
    """The foreground's probability, (N, H, W) in 0..1, of stacks (N, S, H, W)."""
    with torch.no_grad():
        return torch.cat([dense(x[part]).sigmoid() for part in chunks(x)])
