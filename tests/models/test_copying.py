"""Networks that keep tensors of their last pass can be copied, and the copy runs on its own."""

import copy

import pytest
import torch
from torch import Tensor, nn

from emsym.models.copying import copy_network, kept_tensors


class Keeping(nn.Module):
    """Keeps its features in each of the ways that networks for deep supervision do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(3, 1, 1)
        self.heads: list[Tensor] = [torch.zeros(1)]
        self.by_name: dict[str, Tensor] = {}
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        self.heads[0], self.by_name["y"], self.last = y * 2, y, y
        return y


def test_what_a_pass_left_is_copied_without_its_graph() -> None:
    model = Keeping()
    x = torch.rand(1, 3, 4, 4)
    answer = model(x)
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    copied = copy_network(model)
    assert len(list(kept_tensors(model))) == 3
    assert not list(kept_tensors(copied))
    assert torch.equal(copied.heads[0], answer * 2)
    assert copied.inner.weight is not model.inner.weight
    with torch.no_grad():
        copied.inner.weight.zero_()
        assert torch.equal(model(x), answer)
        assert not torch.equal(copied(x), answer)
