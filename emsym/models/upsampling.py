"""A U-Net's twofold upsampling as a part of the convolution after it, on a CPU.

Where each pixel is repeated 2 × 2 times, a convolution of 3 × 3 weights meets the same pixel up to
four times. The transposed convolution with stride 2 whose weights are the sums of those gives the
same, but for rounding, with 4 of 9 products. Such convolutions are half of a small U-Net's pass.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d


def with_merged_upsampling(model: nn.Module) -> Callable[[Tensor], Any]:
    """Return what answers as `model` does, whose U-Net decoder blocks upsample as said above.

    The model itself is left as it is but while it answers. Its weights are used where they lie,
    and gradients reach them. A block is left alone where something weighs channels between
    upsampling and convolution, where the two have hooks, which would not be called, and where it
    would not be faster: its maps have fewer pixels than channels, or lie on another device.
    """
    blocks = [each for each in model.modules() if _is_plain(each)]

    def answer(images: Tensor) -> Any:
        for block in blocks:
            block.forward = MethodType(_upsampled_within, block)  # type: ignore[assignment]
        try:
            return model(images)
        finally:
            for block in blocks:  # another thread may have been here first
                vars(block).pop("forward", None)

    return answer


def _is_plain(block: nn.Module) -> bool:
    if not isinstance(block, UnetDecoderBlock) or "forward" in vars(block):
        return False
    conv = block.conv1[0]
    return (
        type(block) is UnetDecoderBlock
        and block.interpolation_mode == "nearest"
        and type(block.attention1.attention) is nn.Identity
        and type(conv) is nn.Conv2d
        and conv.weight.device.type == "cpu"
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
        and not any(map(_has_hooks, (block.conv1, conv, block.attention1)))
    )


def _has_hooks(module: nn.Module) -> bool:
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def _upsampled_within(
    block: UnetDecoderBlock,
    x: Tensor,
    height: int,
    width: int,
    skip_connection: Tensor | None = None,
) -> Tensor:
    """Do what `UnetDecoderBlock.forward` does; x is (N, C, H, W), 32-bit or 64-bit floats."""
    pixels = len(x) * x.shape[2] * x.shape[3]
    if (height, width) != (2 * x.shape[2], 2 * x.shape[3]) or pixels < x.shape[1]:
        return UnetDecoderBlock.forward(block, x, height, width, skip_connection)
    conv = block.conv1[0]
    of_x, of_skip = conv.weight.tensor_split([x.shape[1]], 1)
    made = conv_transpose2d(x, _spread(of_x), conv.bias, stride=2, padding=1)
    if skip_connection is not None:
        made += conv2d(skip_connection, of_skip, padding=1)
    for layer in [*block.conv1][1:]:
        made = layer(made)
    return block.attention2(block.conv2(made))


def _spread(weight: Tensor) -> Tensor:
    """Weights (O, I, 3, 3) of repeated pixels → (I, O, 4, 4), those of a transposed convolution.

    They are channels-last, as a convolution on a CPU would bring them into that order, slowly.
    """
    return _sums(_sums(weight.permute(1, 2, 3, 0), 1), 2).permute(0, 3, 1, 2)


def _sums(weight: Tensor, side: int) -> Tensor:
    """Three weights along one side → four.

    Pixel 2m is a·x(m − 1) + (b + c)·x(m), and pixel 2m + 1 is (a + b)·x(m) + c·x(m + 1).
    """
    a, b, c = weight.unbind(side)
    return torch.stack([c, b + c, a + b, a], side)
