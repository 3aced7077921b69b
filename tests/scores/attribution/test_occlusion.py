"""Occlusion: what T loses without a slice, or without a patch of one."""

import captum.attr as captum
import pytest
import torch

from emsym.models.architectures import create_model
from emsym.scores.attribution.occlusion import PATCH, patch_occlusion, slice_occlusion
from emsym.scores.dense_logits import DenseLogits

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return DenseLogits(create_model("unet-tu-test_resnet").eval())


def stacks(height=40, width=50, count=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, height, width, generator=generator)


def masks(x):
    shape = (len(x), *x.shape[-2:])
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.5


def total(dense, mask):
    def function(x):
        return (dense(x).double() * mask.repeat(len(x) // len(mask), 1, 1)).sum((1, 2))

    return function


def rounding(dense, x, mask):
    """What two T, each ε of its logits off by each layer, may differ by where nothing else does."""
    layers = sum(not list(module.children()) for module in dense.model.modules())
    with torch.no_grad():
        terms = (dense(x).abs().double() * mask).sum((1, 2))
    return 2 * layers * torch.finfo(x.dtype).eps * float(terms.max())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 50), (7, 33)])
def test_patches_are_captums_at_every_size(unet, height, width):
    x = stacks(height, width)
    mask = masks(x)
    window = (1, min(PATCH, height), PATCH)
    with torch.no_grad():
        expected = captum.Occlusion(total(unet, mask)).attribute(x, window, window)
    found = patch_occlusion(unet, x, mask)
    off = rounding(unet, x, mask)
    assert off < 1e-3 * expected.abs().median()
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=off)


def test_a_slice_adds_up_to_what_is_lost_without_it(unet):
    x = stacks()
    mask, found = masks(x), slice_occlusion(unet, x, masks(x))
    for s in range(3):
        without = x.clone()
        without[:, s] = 0
        with torch.no_grad():
            lost = total(unet, mask)(x) - total(unet, mask)(without)
        off = rounding(unet, x, mask)
        torch.testing.assert_close(found[:, s].double().sum((1, 2)), lost, rtol=0, atol=off)
        assert (found[:, s] == found[:, s, :1, :1]).all()


@pytest.mark.parametrize("occlusion", [slice_occlusion, patch_occlusion])
def test_no_pass_is_larger_than_a_chunk(occlusion):
    seen = []

    class Notes(torch.nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x[:, :1] * x[:, 2:]

    x = stacks(64, 64)
    dense = DenseLogits(Notes())
    dense.chunk = 5 * 64 * 64
    occlusion(dense, x, masks(x))
    assert max(seen) == 5
