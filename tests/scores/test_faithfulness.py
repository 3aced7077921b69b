"""Faithfulness against a reference of a few lines, and known answers on linear networks."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.models.architectures import create_model
from emsym.scores.attribution import saliency
from emsym.scores.faithfulness import MaskedLogit, faithfulness_estimate, group_size
from emsym.scores.logits import DenseLogits

SIZE = 32
STEPS = 8


class Linear(nn.Module):
    """logit[h, w] = Σ_s w[s, h, w] x[s, h, w], in double precision inside."""

    def __init__(self, slices=3, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(slices, SIZE, SIZE, generator=generator, dtype=torch.float64)

    def forward(self, x):
        return (self.weight * x).sum(1, keepdim=True)


class Curved(nn.Module):
    """Not linear, and its groups do not add up."""

    def forward(self, x):
        return (x[:, :1] * x[:, 1:2] + torch.tanh(x[:, 2:])) * x.mean((1, 2, 3), keepdim=True)


def stacks(count=3, slices=3, seed=1):
    shape = (count, slices, SIZE, SIZE)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def masks(count=3, seed=2):
    shape = (count, SIZE, SIZE)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5


def reference(model, x, mask, attribution, steps):
    """The definition for one image: replace group after group by 0, alone, and correlate."""
    pixels = x.shape[-1] * x.shape[-2]
    size = pixels // max(n for n in range(1, steps + 1) if pixels % n == 0)

    def total(stack):
        with torch.no_grad():
            return float((model(stack[None])[0, 0] * mask).double().sum())

    flat = attribution.flatten().numpy()
    order = np.argsort(-flat)
    drops, sums = [], []
    for group in order.reshape(-1, size):
        changed = x.flatten().clone()
        changed[group] = 0
        drops.append(total(x) - total(changed.reshape(x.shape)))
        sums.append(flat[group].astype(np.float64).sum())
    return np.corrcoef(drops, sums)[0, 1]


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_weight_times_input_is_wholly_faithful_to_a_linear_network(slices):
    model, x, mask = Linear(slices), stacks(slices=slices), masks()
    attribution = (model.weight * x * mask[:, None]).float()
    found = faithfulness_estimate(DenseLogits(model), x, mask, attribution, STEPS)
    np.testing.assert_allclose(found, 1, atol=1e-6)
    opposite = faithfulness_estimate(DenseLogits(model), x, mask, -attribution, STEPS)
    np.testing.assert_allclose(opposite, -1, atol=1e-6)


@pytest.mark.parametrize("steps", [4, 8, 10])
@pytest.mark.parametrize("model", [Linear(), Curved()], ids=["linear", "curved"])
def test_estimate_is_the_correlation_that_its_definition_says(model, steps):
    x, mask = stacks(), masks()
    attribution = torch.rand(x.shape, generator=torch.Generator().manual_seed(3))
    found = faithfulness_estimate(DenseLogits(model), x, mask, attribution, steps)
    expected = [reference(model, x[n], mask[n], attribution[n], steps) for n in range(len(x))]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected).max() < 0.99


def test_images_do_not_depend_on_their_batch_and_runs_do_not_differ():
    dense = DenseLogits(create_model("unet-tu-test_resnet").eval())
    x, mask = stacks(4), masks(4)
    attribution = saliency(dense, x, mask)
    found = faithfulness_estimate(dense, x, mask, attribution, STEPS)
    again = faithfulness_estimate(dense, x, mask, attribution, STEPS)
    np.testing.assert_array_equal(found, again)
    alone = [
        faithfulness_estimate(dense, *(a[n : n + 1] for a in (x, mask, attribution)), STEPS)[0]
        for n in range(4)
    ]
    np.testing.assert_allclose(found, alone, atol=1e-3)
    reversed_ = faithfulness_estimate(dense, x.flip(0), mask.flip(0), attribution.flip(0), STEPS)
    np.testing.assert_allclose(found, reversed_[::-1], atol=1e-3)
    assert (np.abs(found) <= 1).all()
    assert np.ptp(found) > 1e-3


def test_more_images_than_one_chunk_are_scored_in_order():
    model = Linear()
    x, mask = stacks(130), masks(130)
    attribution = model.weight.float() * x * mask[:, None]
    attribution[::2] *= -1
    found = faithfulness_estimate(DenseLogits(model), x, mask, attribution, 2)
    np.testing.assert_allclose(found, [-1, 1] * 65, atol=1e-5)


@pytest.mark.parametrize("empty", [[1], [0, 1, 2]], ids=["one", "all"])
def test_empty_mask_has_no_score(empty):
    model, x, mask = Linear(), stacks(), masks()
    mask[empty] = False
    attribution = (model.weight * x * mask[:, None]).float()
    found = faithfulness_estimate(DenseLogits(model), x, mask, attribution, STEPS)
    assert np.isnan(found).tolist() == [n in empty for n in range(3)]


def test_attribution_that_is_the_same_everywhere_has_no_score():
    x, mask = stacks(), masks()
    even = torch.full_like(x, 0.5)
    found = faithfulness_estimate(DenseLogits(Linear()), x, mask, even, STEPS)
    assert np.isnan(found).all()


def test_attribution_below_zero_everywhere_has_a_score():
    x, mask = stacks(), masks()
    attribution = -1 - torch.rand(x.shape, generator=torch.Generator().manual_seed(3))
    found = faithfulness_estimate(DenseLogits(Curved()), x, mask, attribution, STEPS)
    expected = [reference(Curved(), x[n], mask[n], attribution[n], STEPS) for n in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_single_group_has_no_score():
    x, mask = stacks(slices=1), masks()
    found = faithfulness_estimate(DenseLogits(Linear(1)), x, mask, x, 1)
    assert np.isnan(found).all()


def test_nothing_that_is_given_is_changed():
    model, x, mask = Linear(), stacks(), masks()
    attribution = torch.rand(x.shape, generator=torch.Generator().manual_seed(3))
    copies = x.clone(), mask.clone(), attribution.clone()
    faithfulness_estimate(DenseLogits(model), x, mask, attribution, STEPS)
    for given, before in zip((x, mask, attribution), copies, strict=True):
        assert torch.equal(given, before)


# --- parts ----------------------------------------------------------------------------------------


def test_masked_logit_is_one_number_per_image():
    model, x, mask = Linear(), stacks(), masks()
    found = MaskedLogit(DenseLogits(model), mask)(x)
    assert found.shape == (3, 1)
    for n in range(3):
        torch.testing.assert_close(found[n, 0], model(x)[n, 0][mask[n]].sum())


def test_batch_other_than_the_masks_is_refused():
    with pytest.raises(ValueError, match="2 images for 3 masks"):
        MaskedLogit(DenseLogits(Linear()), masks())(stacks(2))


@pytest.mark.parametrize(
    ("height", "width", "steps", "groups"),
    [(128, 128, 16, 16), (128, 128, 17, 16), (30, 30, 16, 15), (31, 29, 16, 1), (8, 8, 1, 1)],
)
def test_groups_divide_the_section_and_are_as_many_as_allowed(height, width, steps, groups):
    assert group_size(height, width, steps) * groups == height * width
