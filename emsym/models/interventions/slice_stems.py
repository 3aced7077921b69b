"""Stems that read every slice by one convolution: `shared-stem` and `a3d`."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from emsym.errors import UserError
from emsym.models.stem.stem import Stem, submodule


def replace_stem(
    model: nn.Module, stem: Stem, build: Callable[[nn.Conv2d], nn.Module], name: str
) -> None:
    """Put what `build` makes of the stem's convolution in its place.

    Raises `UserError` where the stem is anything but one convolution of plain slices.
    """
    plain = len(stem.reads) == 1 and not stem.constants
    path = stem.reads[0].module
    convolution = submodule(model, path)
    if not plain or not path or type(convolution) is not nn.Conv2d:
        raise UserError(
            f"'{name}' replaces a stem that is one convolution, and this network's is another "
            f"({stem}): leave '{name}' out, or take another encoder."
        )
    if convolution.in_channels != stem.slices:
        raise UserError(
            f"'{name}' replaces a stem that reads each slice as one channel, and this one "
            f"({stem}) reads {convolution.in_channels} of {stem.slices} slices: take another "
            "encoder."
        )
    owner, _, own = path.rpartition(".")
    setattr(submodule(model, owner) if owner else model, own, build(convolution))


class _SliceStem(nn.Module):
    """One convolution W (O, 1, kH, kW) for all slices: the mean of the filled stem's planes."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        """`convolution` is the filled stem, (O, S, kH, kW)."""
        super().__init__()
        self.slices = convolution.in_channels
        self.convolution = nn.Conv2d(
            1,
            convolution.out_channels,
            cast(tuple[int, int], convolution.kernel_size),
            cast(tuple[int, int], convolution.stride),
            cast(tuple[int, int], convolution.padding),
            cast(tuple[int, int], convolution.dilation),
            bias=False,
        ).to(convolution.weight)
        with torch.no_grad():
            self.convolution.weight.copy_(convolution.weight.mean(1, keepdim=True))
        self.bias = convolution.bias


class SharedStem(_SliceStem):
    """h_0 + Σ_d (h_d + h_−d) + Σ_d V_d |h_d − h_−d|, of each slice's features h_s = W ∗ x_s.

    V_d, (O, O) for each distance d, begin at 0: it starts as a uniform stem and learns what to make
    of how far the sides differ, but never which side is which. Sums and differences of two commute,
    so the answer to a reversed stack is the same to the last bit. This project's design, of the
    symmetric fusion that arXiv 2309.17076 argues for.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        """As `_SliceStem`."""
        super().__init__(convolution)
        width = convolution.out_channels
        self.differences = nn.ModuleList(
            nn.Conv2d(width, width, 1, bias=False).to(convolution.weight)
            for _ in range(self.slices // 2)
        )
        for each in self.differences:
            nn.init.zeros_(cast(nn.Conv2d, each).weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, H, W) → (N, O, H', W')."""
        centre = self.slices // 2
        before, after = x[:, :centre].flip(1), x[:, centre + 1 :]
        both, apart = after + before, after - before
        # W ∗ x is linear: that of sums and differences is the sum and difference of features
        together = sum(both.unbind(1), x[:, centre])
        images = torch.stack([together, *apart.unbind(1)]).unsqueeze(2)
        fused, *differences = self.convolution(images.flatten(0, 1)).chunk(len(images))
        for weigh, difference in zip(self.differences, differences, strict=True):
            fused = fused + weigh(difference.abs())
        return fused if self.bias is None else fused + self.bias[:, None, None]


class AsymmetricStem(_SliceStem):
    """Σ_s P_s h_s, of each slice's features h_s = W ∗ x_s, with a free weight a slice and filter.

    P, (O, S), begins at 1, as a uniform stem. It is the fusion of A3D (Yang et al., arXiv
    2109.08684: dense connections between slices, channel by channel), at the stem alone, where that
    paper has one behind each block of an encoder that runs over all slices.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        """As `_SliceStem`."""
        super().__init__(convolution)
        weight = convolution.weight
        self.fusion = nn.Parameter(weight.new_ones(weight.shape[0], self.slices))

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, H, W) → (N, O, H', W')."""
        # fused before it is applied: W ∗ x is linear
        shared = self.convolution
        weight = shared.weight * self.fusion[:, :, None, None]
        return nn.functional.conv2d(
            x, weight, self.bias, shared.stride, shared.padding, shared.dilation
        )
