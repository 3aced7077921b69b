"""A way back through a network that keeps no more than the gradient of its input needs.

What autograd keeps of a pass decides how large a section fits into memory. It keeps the input of
each convolution and normalisation, for the gradients of their parameters, which nobody asked for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LARGE = 2**22
"""Values from which on the input of a convolution is not kept: with fewer, as all have in a pass of
some sections of 128², PyTorch's own convolution is faster."""


class Lean(TorchFunctionMode):
    """Within it, large convolutions and batch normalisations keep nothing of what depends on x.

    The same numbers, but for rounding. The gradients of parameters are not to be asked for.
    """

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        if func is nn.functional.batch_norm:
            return _fixed_norm(*args, **(kwargs or {}))
        if func is torch.conv2d:
            return _convolved(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _convolved(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.conv2d`, which has these arguments."""
    odd = isinstance(padding, str) or input.ndim != 4
    if odd or input.numel() < LARGE or not input.requires_grad:
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    bias = None if bias is None else bias.detach()
    pairs = [[each, each] if isinstance(each, int) else list(each) for each in (stride, padding)]
    spread = [dilation, dilation] if isinstance(dilation, int) else list(dilation)
    made: Tensor = _Convolution.apply(input, weight.detach(), bias, *pairs, spread, groups)
    return made


class _Convolution(torch.autograd.Function):
    """Keeps the weight alone, as the gradient of the input needs no more."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.how = x.shape, (stride, padding, dilation, groups)
        ctx.last = x.is_contiguous(memory_format=torch.channels_last)
        return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.how
        order = torch.channels_last if ctx.last else torch.contiguous_format
        # of which the shape and the order in memory count; pages that nobody writes to take none
        like = torch.empty(ctx.shape, dtype=weight.dtype, device=weight.device, memory_format=order)
        made, _, _ = torch.ops.aten.convolution_backward(
            *grads, like, weight, None, stride, padding, dilation, False, [0, 0], groups,
            [True, False, False],
        )  # fmt: skip
        return made, None, None, None, None, None, None


def _fixed_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, which has these arguments; in eval mode scale and shift."""
    if training or running_mean is None or running_var is None:
        return torch.batch_norm(
            x, weight, bias, running_mean, running_var, training, momentum, eps, False
        )
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight.detach()
    shift = -running_mean * scale
    shift = shift if bias is None else shift + bias.detach()
    size = (1, -1, *[1] * (x.ndim - 2))
    return torch.addcmul(shift.view(size), x, scale.view(size))
