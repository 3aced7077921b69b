"""The intervention at inference: the mean of a network's answers to a stack and its mirror image.

It needs no training and no weights, makes the answer exactly symmetric, and takes twice the time.
"""

import torch
from torch import Tensor, nn


class MirrorAverage(nn.Module):
    """(f(x) + f(mirror x)) / 2 of a network's logits: (N, S, H, W) → (N, C, H, W).

    It gives the very same bits for x and mirror x, whatever the network is.
    """

    def __init__(self, model: nn.Module) -> None:
        """`model` is in eval mode and gives logits, (N, C, H, W)."""
        super().__init__()
        self.model = model
        self.mean = nn.AvgPool2d((1, 2))  # a module, as LRP is not defined on sums outside of one

    def forward(self, x: Tensor) -> Tensor:
        """The average."""
        both = torch.stack([self.model(x), self.model(x.flip(1))], -1)
        average: Tensor = self.mean(both.flatten(2, 3))
        return average.view(both.shape[:-1])
