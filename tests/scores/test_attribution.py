"""Attributions explain the masked logit of each image, and of no other."""

import pytest
import torch
from torch import nn

from emsym.models.architectures import create_model
from emsym.scores.attribution import saliency, target_mask
from emsym.scores.logits import DenseLogits, chunks
from emsym.scores.symmetry import mirror, symmetry


class Before(nn.Module):
    """Looks at z−1 alone, twice as hard at each pixel further to the right."""

    def forward(self, x):
        return x[:, :1] * torch.arange(x.shape[-1])


class Product(nn.Module):
    """Its gradient depends on the input: z−1 times z+1."""

    def forward(self, x):
        return x[:, :1] * x[:, 2:]


def stacks(count=3, size=32, slices=3, seed=0):
    return torch.randn(count, slices, size, size, generator=torch.Generator().manual_seed(seed))


def masks(x, seed=1):
    shape = (len(x), *x.shape[-2:])
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5


@pytest.fixture(scope="module")
def unet():
    return DenseLogits(create_model("unet-tu-test_resnet").eval())


def test_saliency_is_the_gradients_size_of_each_image_by_itself(unet):
    x, mask = stacks(size=40), masks(stacks(size=40))
    found = saliency(unet, x, mask)
    for n in range(len(x)):
        alone = x[n : n + 1].clone().requires_grad_()
        total = unet(alone)[0][mask[n]].sum()
        (gradient,) = torch.autograd.grad(total, alone)
        torch.testing.assert_close(found[n], gradient[0].abs(), rtol=1e-4, atol=1e-6)
    assert found.shape == x.shape


def test_saliency_does_not_depend_on_how_images_are_chunked(unet):
    x = stacks(count=3, size=224)
    assert len(list(chunks(x))) > 1
    mask = masks(x)
    found = saliency(unet, x, mask)
    alone = torch.cat([saliency(unet, x[n : n + 1], mask[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-6 * float(alone.max()))


def test_saliency_leaves_the_input_and_the_network_alone(unet):
    x = stacks()
    before = x.clone()
    found = saliency(unet, x, masks(x))
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert not found.requires_grad
    assert all(parameter.grad is None for parameter in unet.parameters())


def test_network_that_looks_at_one_slice_has_its_saliency_there_alone():
    x = stacks()
    mask = masks(x)
    found = saliency(DenseLogits(Before()), x, mask)
    assert not found[:, 1:].any()
    torch.testing.assert_close(found[:, 0], mask * torch.arange(32.0))
    back = saliency(DenseLogits(Before()), mirror(x), mask)
    scores = symmetry(found.numpy(), back.numpy())
    assert scores.share.tolist() == [[1, 0, 0]] * 3
    assert scores.imbalance == pytest.approx([1, 1, 1])
    assert scores.model_asymmetry.tolist() == [-1, -1, -1]


def test_mirror_symmetric_network_has_no_model_asymmetry_on_an_uneven_image():
    x = stacks()
    x[:, 2] *= 5
    mask, dense = masks(x), DenseLogits(Product())
    found = symmetry(saliency(dense, x, mask).numpy(), saliency(dense, mirror(x), mask).numpy())
    assert (found.model_asymmetry == 0).all()
    assert (found.data_asymmetry < -0.5).all()  # the gradient by z−1 is z+1, the larger


def test_mask_is_the_given_one_and_not_the_prediction_of_a_changed_input():
    x = stacks()
    mask = masks(x)
    dense = DenseLogits(Product())
    here, there = saliency(dense, x, mask), saliency(dense, -x, mask)  # all logits change sides
    torch.testing.assert_close(here[:, 0], x[:, 2].abs() * mask)
    assert torch.equal(here, there)


def test_empty_mask_gives_no_saliency_rather_than_a_failure(unet):
    x = stacks()
    mask = masks(x)
    mask[1] = False
    found = saliency(unet, x, mask)
    assert [bool(image.any()) for image in found] == [True, False, True]


def test_target_is_the_prediction_or_the_truth():
    predicted, truth = masks(stacks(), 1), masks(stacks(), 2)
    assert torch.equal(target_mask("foreground", predicted, truth), predicted)
    assert torch.equal(target_mask("true-foreground", predicted, truth), truth)
