"""The intervention at inference: the mean of a network's answers to a stack and its mirror image.

It needs no training and no weights, makes the answer exactly symmetric, and takes twice the time.
"""

import torch
from torch import Tensor, nn


class MirrorAverage(nn.Module):
    """(1 − λ) f(x) + λ f(mirror x) of a network's logits: (N, S, H, W) → (N, C, H, W).

    With λ = ½ it gives the very same bits for x and mirror x, whatever the network is; with less
    it is nearer to the network, and that part of its bias is left that 1 − 2λ is of 1.
    """

    def __init__(self, model: nn.Module, weight: float = 0.5) -> None:
        """`model` is in eval mode and gives logits, (N, C, H, W); `weight` is λ, in 0..1."""
        super().__init__()
        self.model = model
        self.weight = weight
        self.mean = nn.AvgPool2d((1, 2))  # a module, as LRP is not defined on sums outside of one

    def forward(self, x: Tensor) -> Tensor:
        """The average."""
        answer, reversed_answer = self.model(x), self.model(x.flip(1))
        if self.weight != 0.5:
            return torch.lerp(answer, reversed_answer, self.weight)
        both = torch.stack([answer, reversed_answer], -1)
        average: Tensor = self.mean(both.flatten(2, 3))
        return average.view(both.shape[:-1])
