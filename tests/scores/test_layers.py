"""The flip error of layers whose answers to reversed stacks are known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emsym.models.architectures import create_model
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.layers import LayerFlip, joined, layer_flips

pytestmark = pytest.mark.numerical
X = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Healing(nn.Module):
    """A stem that reads the last slice alone, another layer, and an answer that forgets both."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 1)
        self.stem.weight.data = torch.tensor([[0, 0, 1.0], [0, 0, 5]])[..., None, None]
        self.pool = nn.AvgPool2d(4)
        self.deep = nn.Conv2d(2, 2, 1)
        self.head = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.deep(self.pool(self.stem(x)))
        return self.head(x[:, 1:2])


def test_a_layer_that_reads_one_slice_sees_an_unrelated_one_in_the_reversed_stack() -> None:
    flips = layer_flips(DenseLogits(Healing().eval()), X)
    assert [(layer.name, layer.size) for layer in flips.layers] == [
        ("stem", (64, 64)),
        ("deep", (16, 16)),
        ("head", (64, 64)),
    ]
    assert flips.stem.values == pytest.approx(np.ones(3), abs=0.05)
    assert flips.bottleneck.name == "deep"
    assert flips.bottleneck.values == pytest.approx(np.ones(3), abs=0.2)
    assert flips.logits.values.tolist() == [0, 0, 0], "healed"


def test_all_layers_of_a_symmetric_network_stay_still() -> None:
    torch.manual_seed(0)
    dense = DenseLogits(create_model("unet-tu-test_resnet", "random+mirror-tied", 3).eval())
    flips = layer_flips(dense, X)
    assert len(flips.layers) > 10
    assert max(layer.values.max() for layer in (*flips.layers, flips.logits)) < 1e-8


def test_stacks_do_not_depend_on_each_other_and_no_hook_stays() -> None:
    torch.manual_seed(0)
    dense = DenseLogits(create_model("unet-tu-test_resnet", "random", 3).eval())
    whole, first = layer_flips(dense, X), layer_flips(dense, X[:1])
    for layer, same in zip(whole.layers, first.layers, strict=True):
        assert layer.name == same.name
        assert layer.values[:1] == pytest.approx(same.values, rel=1e-4)
    assert not any(module._forward_hooks for module in dense.model.modules())


def test_a_network_that_chooses_its_layers_has_its_answer_alone() -> None:
    two, one = ([LayerFlip(name, (8, 8), np.ones(2)) for name in names] for names in ("ab", "b"))
    assert [layer.name for layer in joined([two, two])] == ["a", "b"]
    (left,) = joined([two, one])
    assert (left.name, left.values.tolist()) == ("b", [1, 1, 1, 1])


def test_a_squeeze_is_no_map_and_a_constant_layer_has_no_value() -> None:
    squeezing = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 1, 1), nn.Upsample(64))
    flips = layer_flips(DenseLogits(squeezing.eval()), X)
    assert flips.layers == []
    assert flips.stem is flips.bottleneck is None
    still = nn.Sequential(nn.Conv2d(3, 1, 1))
    nn.init.zeros_(still[0].weight)
    assert np.isnan(layer_flips(DenseLogits(still.eval()), X).stem.values).all()
