"""Gradient attributions: captum's numbers, with several methods and masks sharing their passes.

On a smooth network they agree pixel by pixel. On one of ReLUs a gradient jumps where a ReLU opens,
which rounding decides differently in batches of another size: there they agree in what all scores
are made of, the shares of the slices.
"""

import captum.attr as captum
import pytest
import torch
from torch import nn

from emsym.models.architectures import create_model
from emsym.scores.attribution import gradients
from emsym.scores.attribution.methods import ATTRIBUTIONS, GradientMethod
from emsym.scores.dense_logits import DenseLogits

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]

METHODS = {
    name: method
    for name in ATTRIBUTIONS.own_names()
    if isinstance(method := ATTRIBUTIONS.get(name), GradientMethod)
}
NAMES = list(METHODS)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return DenseLogits(create_model("unet-tu-test_resnet").eval())


@pytest.fixture(scope="module")
def smooth():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3, padding=1), nn.Softplus(), nn.Conv2d(6, 1, 3, padding=1))
    return DenseLogits(nn.Sequential(*layers))


def stacks(count=2, size=32, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def masks(x, count=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, len(x), *x.shape[-2:], generator=generator) > 0.5


def total(dense):
    return lambda x, mask: (dense(x) * mask.expand(len(x), -1, -1)).sum((1, 2))


def by_captum(name, dense, x, mask):
    """The plain way, image by image."""
    made = []
    for n in range(len(x)):
        one, function = x[n : n + 1].clone(), total(dense)
        chosen = {"additional_forward_args": mask[n : n + 1]}
        if name == "saliency":
            found = captum.Saliency(function).attribute(one, **chosen)
        elif name == "input-x-gradient":
            found = captum.InputXGradient(function).attribute(one, **chosen)
        elif name == "integrated-gradients":
            found = captum.IntegratedGradients(function).attribute(one, n_steps=50, **chosen)
        elif name == "smoothgrad":
            torch.manual_seed(0)
            found = captum.NoiseTunnel(captum.Saliency(function)).attribute(
                one,
                nt_type="smoothgrad",
                nt_samples=25,
                stdevs=float(0.15 * (one.max() - one.min())),
                **chosen,
            )
        made.append(found.detach())
    return torch.cat(made)


def shares(attribution):
    mass = attribution.double().abs().sum((2, 3))
    return mass / mass.sum(1, keepdim=True)


@pytest.mark.parametrize("name", NAMES[:4])
def test_numbers_are_captums_pixel_by_pixel_on_a_smooth_network(smooth, name):
    x = stacks()
    mask = masks(x)[0]
    found = gradients.attribute(smooth, x, mask, METHODS[name])
    expected = by_captum(name, smooth, x, mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES[:4])
def test_shares_are_captums_on_a_network_of_relus(unet, name):
    x = stacks(size=48)
    mask = masks(x)[0]
    found = gradients.attribute(unet, x, mask, METHODS[name])
    expected = by_captum(name, unet, x, mask)
    torch.testing.assert_close(shares(found), shares(expected), rtol=1e-5, atol=0)


def test_gradient_shap_is_its_definition(smooth):
    x = stacks()
    mask = masks(x)[0]
    generator = torch.Generator().manual_seed(gradients.SEED)
    greys = torch.randn(25, generator=generator)
    between = torch.rand(25, generator=generator)
    expected = torch.zeros_like(x)
    for grey, alpha in zip(greys, between, strict=True):
        point = (grey + alpha * (x - grey)).requires_grad_()
        (gradient,) = torch.autograd.grad(total(smooth)(point, mask).sum(), point)
        expected += (x - grey) * gradient / 25
    found = gradients.attribute(smooth, x, mask, METHODS["gradient-shap"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_gradient_shap_adds_up_to_what_its_greys_lack_on_average(smooth):
    x = stacks(8)
    mask = masks(x)[0]
    greys = torch.randn(25, generator=torch.Generator().manual_seed(gradients.SEED))
    with torch.no_grad():
        here = total(smooth)(x, mask)
        there = torch.stack(
            [total(smooth)(torch.full_like(x, float(grey)), mask) for grey in greys]
        ).mean(0)
    found = gradients.attribute(smooth, x, mask, METHODS["gradient-shap"])
    off = (found.sum((1, 2, 3)) - (here - there)).abs() / found.abs().sum((1, 2, 3))
    assert off.max() < 0.01  # 25 draws of an integral


@pytest.mark.parametrize("network", ["smooth", "unet"])
def test_integrated_gradients_add_up_to_the_difference_from_the_training_mean(request, network):
    dense, x = request.getfixturevalue(network), stacks(3)
    mask = masks(x)[0]
    with torch.no_grad():
        expected = total(dense)(x, mask) - total(dense)(torch.zeros_like(x), mask)
    found = gradients.attribute(dense, x, mask, METHODS["integrated-gradients"]).sum((1, 2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_methods_and_masks_at_once_give_the_same_as_one_by_one(smooth):
    x = stacks()
    several = masks(x, 3)
    several[2, 0] = False
    together = gradients.attribute_all(smooth, x, several, METHODS)
    for name in NAMES:
        assert together[name].shape == (3, *x.shape)
        for k, mask in enumerate(several):
            alone = gradients.attribute(smooth, x, mask, METHODS[name])
            torch.testing.assert_close(together[name][k], alone, rtol=1e-4, atol=1e-6)


def test_gradients_that_are_known_already_are_not_taken_again(smooth):
    x = stacks()
    several = masks(x, 2)
    _, at_x = gradients.gradients(smooth, x, several)

    class Shut(nn.Module):
        def forward(self, x):
            raise AssertionError

    two = {name: METHODS[name] for name in NAMES[:2]}
    known = gradients.attribute_all(DenseLogits(Shut()), x, several, two, at_x)
    fresh = gradients.attribute_all(smooth, x, several, two)
    for name in NAMES[:2]:
        torch.testing.assert_close(known[name], fresh[name])


def test_mask_may_be_made_from_the_logits_of_the_same_pass(smooth):
    x = stacks()
    outputs, found = gradients.gradients(smooth, x, lambda logits: logits[None, :, 0] > 0)
    mask = outputs[:, 0] > 0
    assert 0 < mask.float().mean() < 1
    torch.testing.assert_close(found, gradients.gradients(smooth, x, mask[None])[1])


def test_each_image_gets_the_same_noise(smooth):
    x = stacks(1).expand(3, -1, -1, -1)
    mask = masks(x[:1])[0].expand(3, -1, -1)
    found = gradients.attribute(smooth, x, mask, METHODS["smoothgrad"])
    torch.testing.assert_close(found[1:], found[:1].expand(2, -1, -1, -1))


def test_noise_that_is_drawn_again_is_the_noise_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As for large stacks; where 16 divides their size, captum's, which draws all at once."""
    for shape in ((3, 32, 32), (3, 7, 5)):
        kept = gradients._noise(shape, torch.device("cpu"))([3, 0, 24])
        monkeypatch.setattr(gradients, "KEPT", 0)
        gradients._noise.cache_clear()
        again = gradients._noise(shape, torch.device("cpu"))([3, 0, 24])
        monkeypatch.undo()
        gradients._noise.cache_clear()
        assert torch.equal(kept, again)
    torch.manual_seed(gradients.SEED)
    whole = torch.randn(gradients.SAMPLES, 3, 32, 32)
    assert torch.equal(gradients._noise((3, 32, 32), torch.device("cpu"))([7])[0], whole[7])
