"""Upsampling within a convolution gives what comes of one after the other, and its gradients."""

import copy

import pytest
import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import nn

from emsym.models import upsampling
from emsym.models.architectures import create_model
from emsym.models.upsampling import with_merged_upsampling

pytestmark = pytest.mark.numerical


@pytest.fixture
def merged(monkeypatch):
    """Count the blocks that upsample within their convolution."""
    found = []
    spread = upsampling._spread
    monkeypatch.setattr(upsampling, "_spread", lambda w: (found.append(w), spread(w))[1])
    return found


class Decoder(nn.Module):
    """One decoder block, after a map of half the size, and beside one of the whole."""

    def __init__(self, block, skip=True, scale=2):
        super().__init__()
        self.block, self.skip, self.scale = block, skip, scale

    def forward(self, x):
        half = nn.functional.avg_pool2d(x, self.scale).repeat(1, 2, 1, 1)
        skip = x if self.skip else None
        return self.block(half, *x.shape[-2:], skip_connection=skip)


def decoder(skip=True, scale=2, channels=3, **settings):
    torch.manual_seed(0)
    block = UnetDecoderBlock(2 * channels, channels if skip else 0, 16, **settings)
    return Decoder(block, skip, scale).double()


def answers_and_gradients(model, answer, x):
    x = x.clone().requires_grad_()
    model.zero_grad()
    made = answer(x)
    made.square().sum().backward()
    return [made.detach(), x.grad, *(each.grad.clone() for each in model.parameters())]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("size", [(6, 8), (2, 2), (10, 4)])
@pytest.mark.parametrize("norm", [True, False, "instancenorm"])
def test_the_same_answers_and_gradients(merged, skip, size, norm):
    model = decoder(skip, use_norm=norm)
    x = torch.randn(7, 3, *size, dtype=torch.float64)
    other = copy.deepcopy(model)
    expected = answers_and_gradients(model, model, x)
    found = answers_and_gradients(other, with_merged_upsampling(other), x)
    assert len(merged) == 1
    for one, two in zip(expected, found, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-9, atol=1e-9)
    for one, two in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        decoder(channels=6, attention_type="scse"),  # which wants 16 channels at least
        decoder(channels=6, interpolation_mode="bilinear"),
        decoder(channels=6, scale=4),
    ],
    ids=["weighs channels", "bilinear", "fourfold"],
)
def test_blocks_that_do_otherwise_are_left_alone(merged, model):
    x = torch.randn(8, 6, 8, 8, dtype=torch.float64)
    model.eval()
    assert torch.equal(with_merged_upsampling(model)(x), model(x))
    assert not merged


def test_a_map_of_fewer_pixels_than_channels_is_left_alone(merged):
    model = decoder()
    x = torch.randn(5, 3, 2, 2, dtype=torch.float64)  # 5 pixels of 6 channels
    with_merged_upsampling(model)(x)
    assert not merged


@pytest.mark.parametrize("kind", ["full_backward_hook", "full_backward_pre_hook"])
def test_hooks_on_gradients_are_called(merged, kind):
    model, calls = decoder(), []
    getattr(model.block.conv1[0], f"register_{kind}")(lambda *_: calls.append("hook"))
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    with_merged_upsampling(model)(x).sum().backward()
    assert calls == ["hook"]
    assert not merged


def test_a_stranger_s_convolution_and_hooks_are_called(merged):
    hooked, derived, replaced = decoder(), decoder(), decoder()
    calls = []
    hooked.block.conv1[0].register_forward_hook(lambda *_: calls.append("hook"))
    derived.block.conv1[0].__class__ = type("Conv", (nn.Conv2d,), {})
    replaced.block.forward = lambda half, *_, skip_connection: calls.append("forward")
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    for model in (hooked, derived, replaced):
        with_merged_upsampling(model)(x)
    assert calls == ["hook", "forward"]
    assert "forward" in vars(replaced.block)
    assert not merged


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_whole_network_in_single_precision(merged, channels_last):
    model = create_model("unet-resnet18", "random", seed=0).eval()
    x = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    if channels_last:
        model.to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected, found = model(x), with_merged_upsampling(model)(x)
    assert len(merged) > 2
    assert (found - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


def test_the_model_is_as_it_was_even_where_it_fails():
    model = create_model("unet-tu-test_resnet", "random").eval()
    with pytest.raises(RuntimeError):
        with_merged_upsampling(model)(torch.zeros(1, 4, 64, 64))
    assert not any("forward" in vars(module) for module in model.modules())
