"""A network's training pass as a CUDA graph: its kernels start at once instead of one by one."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn


class NotCaptured(UserWarning):
    """Says why a network's training pass could not be captured, so that it ran kernel by kernel."""


class _Pass(nn.Module):
    """A network under autocast, whose cache of cast weights would outlive a captured pass."""

    def __init__(self, model: nn.Module, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.model, self.autocast = model, autocast

    def forward(self, images: Tensor) -> Tensor:
        device = images.device.type
        enabled = self.autocast is not None
        with torch.autocast(device, self.autocast, enabled, cache_enabled=False):
            logits: Tensor = self.model(images)
        return logits


def captured(
    model: nn.Module, images: Tensor, autocast: torch.dtype | None = None
) -> Callable[[Tensor], Tensor]:
    """Return what answers images of this shape as `model` does in training, as a CUDA graph.

    `images`, (N, S, H, W) on the network's GPU, is one batch; all others have its shape and dtype.
    Passes that are captured change neither the network's buffers nor the numbers that dropout draws
    next. The graph holds the network's weights where they lie: who moves them to another place or
    dtype makes a new one. Where a network cannot be captured, because its pass waits for values or
    its shapes change, a `NotCaptured` warning says why, and the network itself is returned.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    answer: Callable[[Tensor], Tensor] = _Pass(model, autocast).train()
    try:
        with torch.random.fork_rng([images.device] if images.is_cuda else []):
            torch.cuda.make_graphed_callables(answer, (images.clone(),), allow_unused_input=True)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(NotCaptured(reason), stacklevel=2)
        answer = model
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    return answer
