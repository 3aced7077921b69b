"""Multipliers: ways back through a module that are no gradient, a number for each of its values.

What captum's hooks do for DeepLIFT and LRP, but nothing is kept except the multipliers, where
captum keeps input and output of each module, so that a section of 1024² takes 8 GB.
"""

from typing import Any

import torch
from torch import Tensor, nn

_SAME = 1e-10
"""Differences from the reference below this are none, as in captum's `DeepLift`."""
_PIECE = 2**21
"""Values of which the multipliers are made at once."""


class _Windows(nn.Module):
    """Lays the windows of a max pooling side by side: (n, C, H, W) → (n, C, h·k, w·k)."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = (
            size_pair(each) for each in (pool.kernel_size, pool.stride, pool.padding)
        )

    def forward(self, x: Tensor) -> Tensor:
        (high, wide), (down, right), (above, left) = self.kernel, self.stride, self.padding
        lowest = torch.finfo(x.dtype).min / 4  # finite, so that it has differences
        x = nn.functional.pad(x, (left, left, above, above), value=lowest)
        windows = x.unfold(2, high, down).unfold(3, wide, right).transpose(3, 4)
        return windows.reshape(*x.shape[:2], windows.shape[2] * high, windows.shape[4] * wide)


class _Rescale(nn.Module):
    """An activation, or a max pooling of windows that do not overlap, by the rescale rule.

    Its first call gets the reference, and the next one what is compared with it. All that is kept
    is one multiplier for each value, where captum's hooks keep input and output of both, so that
    large sections would not fit in memory.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.reference: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.reference is None:
            self.reference = x.clone()  # others may get x, too, and this is written over
            return self.module(x)
        reference, self.reference = self.reference, None
        made: Tensor = _Multiplied.apply(x, *_multiplier(self.module, x.detach(), reference))
        return made


class Conserve(nn.Module):
    """tanh that passes relevance on as it is: what comes back to x, by x, is as before."""

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x)."""
        at = x.detach()
        made = at.tanh()
        passed: Tensor = _Multiplied.apply(x, made, (made / at).nan_to_num(1))  # its limit at 0
        return passed


class _Multiplied(torch.autograd.Function):
    """A value made of x, and a way back that multiplies."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, made: Tensor, multiplier: Tensor) -> Tensor:
        ctx.save_for_backward(multiplier)
        return made.view_as(made)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (multiplier,), (grad,) = ctx.saved_tensors, grads
        return multiplier * _spread(grad, multiplier), None, None


def _multiplier(module: nn.Module, x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a module makes of x, and by how much each value changes it, per its own change.

    Some channels at a time, which are apart in all that is rescaled, and where the reference stood
    that is needed no more: so only what is made is as large as x.
    """
    made: Tensor | None = None
    multiplier = reference if reference.shape == x.shape else torch.empty_like(x)
    step = max(1, _PIECE * x.shape[1] // x.numel())
    for start in range(0, x.shape[1], step):
        part = slice(start, start + step)
        output, brought = _brought(module, x[:, part], reference[:, part])
        if made is None:
            size = (len(x), x.shape[1], *output.shape[2:])
            made = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_order(x))
        made[:, part], multiplier[:, part] = output, brought
    assert made is not None
    return made, multiplier


def _order(x: Tensor) -> torch.memory_format:
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _brought(module: nn.Module, x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """The same of some channels.

    Of a pooling, the change up to the larger of both maxima is brought by the maximum of x, the
    rest by that of the reference, as captum has it. Where a value is that of the reference, it is
    the gradient.

    What ReLUs and poolings give are their inputs or 0, whose differences are exact where they are
    small. Of a smooth activation, such a difference is mostly rounding, and dividing it by another
    one as small would keep nothing else: so it is taken in double precision.
    """
    made, gradient = _with_gradient(module, x)
    base, at_base = _with_gradient(module, reference)
    if isinstance(module, nn.MaxPool2d):
        top = made.maximum(base)
        brought = gradient * _spread(top - base, x) + at_base * _spread(made - top, x)
    elif isinstance(module, nn.ReLU):
        brought = made - base
    else:
        fine = x.dtype if x.device.type == "mps" else torch.float64  # which MPS does not have
        x, reference = x.to(fine), reference.to(fine)
        with torch.no_grad():
            brought = module(x) - module(reference)
    apart = x - reference
    multiplier = torch.where(apart.abs() < _SAME, gradient, brought / apart)
    return made, multiplier.to(made.dtype)


def _with_gradient(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        made = module(x)
        (gradient,) = torch.autograd.grad(made.sum(), x)
    return made.detach(), gradient


def _spread(values: Tensor, x: Tensor) -> Tensor:
    """Those of windows that do not overlap, at each value of x that they were made from."""
    for dim in range(2, x.ndim):
        if (size := x.shape[dim] // values.shape[dim]) > 1:
            values = values.repeat_interleave(size, dim)
    return values


def rescaling(module: nn.Module) -> nn.Module:
    """A module that computes what an activation or a max pooling does, by the rescale rule."""
    if not isinstance(module, nn.MaxPool2d):
        return _Rescale(module)
    return nn.Sequential(_Windows(module), _Rescale(nn.MaxPool2d(module.kernel_size)))


def size_pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    """The size of a window, down and across."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
