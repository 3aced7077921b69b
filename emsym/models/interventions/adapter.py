"""The intervention `adapter`: a 1 × 1 convolution from slices to the three colours of a stem."""

import torch
from torch import Tensor, nn


class Adapted(nn.Module):
    """A network for red, green and blue behind a 1 × 1 convolution, (N, S, H, W) → (N, 3, H, W).

    The convolution begins as the identity of three slices; a strategy fills it in the place of the
    stem. As filling is linear for most strategies (`uniform-green` gives every slice to green), the
    network then starts as the same strategy on the stem does. The stem keeps its pretrained
    weights, and both are trained.
    """

    def __init__(self, model: nn.Module) -> None:
        """`model` reads (N, 3, H, W)."""
        super().__init__()
        self.adapter = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.adapter.weight.copy_(torch.eye(3)[:, :, None, None])
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """The network's answer."""
        answer: Tensor = self.model(self.adapter(x))
        return answer
