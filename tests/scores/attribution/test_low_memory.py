"""The lean way back: the same gradients, and nothing kept that they do not need."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emsym.models.architectures import create_model
from emsym.scores.attribution import low_memory
from emsym.scores.attribution.backward_rules import deeplift, guided_backprop
from emsym.scores.attribution.low_memory import Lean
from emsym.scores.dense_logits import DenseLogits

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(low_memory, "LARGE", 0)


def stack(size=32, channels=4):
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def gradient(network, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(network(x).square().sum(), x)[0]


class Kept:
    """Values that autograd keeps for the way back, and the most there ever were of them."""

    def __init__(self):
        self.now = self.most = 0

    def pack(self, tensor):
        self.now += tensor.numel()
        self.most = max(self.most, self.now)
        return Saved(self, tensor)


class Saved:
    def __init__(self, kept, tensor):
        self.kept, self.tensor = kept, tensor

    def __del__(self):
        self.kept.now -= self.tensor.numel()


def kept(run):
    found = Kept()
    with torch.autograd.graph.saved_tensors_hooks(found.pack, lambda saved: saved.tensor):
        run()
    return found.most


LAYERS = {
    "plain": nn.Conv2d(4, 6, 3),
    "strided and padded": nn.Conv2d(4, 6, (5, 3), stride=(2, 1), padding=(2, 1), bias=False),
    "dilated": nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "depthwise": nn.Conv2d(4, 8, 3, padding=1, groups=4),
    "same": nn.Conv2d(4, 6, 3, padding="same"),
    "reflecting": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "normalised": nn.BatchNorm2d(4),
    "without weights": nn.BatchNorm2d(4, affine=False),
    "of the batch": nn.BatchNorm2d(4, track_running_stats=False),
    "transposed": nn.ConvTranspose2d(4, 6, 2, stride=2),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_the_same(layer, order):
    x = stack().contiguous(memory_format=order)
    expected = gradient(layer.eval(), x)
    with Lean():
        torch.testing.assert_close(gradient(layer, x), expected, rtol=1e-4, atol=1e-4)


def test_a_function_that_is_called_by_names_is_the_same():
    x, weight = stack(), torch.randn(3, 4, 3, 3)

    def network(x):
        return F.conv2d(input=x, weight=weight, padding=1, stride=2)

    expected = gradient(network, x)
    with Lean():
        torch.testing.assert_close(gradient(network, x), expected, rtol=1e-4, atol=1e-4)


def test_gradients_of_a_network_are_the_same():
    network = create_model("linknet-tu-test_efficientnet", "random").eval()
    x = stack(64, 3)
    expected = gradient(network, x)
    with Lean():
        torch.testing.assert_close(gradient(network, x), expected, rtol=1e-3, atol=1e-5)


def test_convolutions_and_normalisations_keep_no_section():
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)).eval()
    x = stack().requires_grad_()
    plain = kept(lambda: network(x))
    with Lean():
        ours = kept(lambda: network(x))
    assert plain > 2 * 8 * 30 * 30
    assert ours < 1000  # weights


@pytest.mark.parametrize("method", [deeplift, guided_backprop])
def test_a_method_keeps_one_value_for_each_of_an_activation(method):
    """A large section fits in memory because neither its reference nor its inputs are kept."""
    layers = (nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    network = nn.Sequential(
        *layers, nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    x = stack(64, 3)
    mask = torch.ones(2, 64, 64, dtype=torch.bool)
    activations = 2 * (2 * 16 * 64 * 64)
    assert kept(lambda: method(DenseLogits(network.eval()), x, mask)) < 1.1 * activations
