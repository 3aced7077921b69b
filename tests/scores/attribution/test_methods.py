"""What every attribution method promises, whatever the network."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.scores.attribution.methods import ATTRIBUTIONS, list_attributions, register_attribution
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.symmetry import symmetry

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]

METHODS = [
    "saliency",
    "input-x-gradient",
    "integrated-gradients",
    "smoothgrad",
    "gradient-shap",
    "guided-backprop",
    "deeplift",
    "lrp",
    "slice-occlusion",
    "patch-occlusion",
]
every = pytest.mark.parametrize("method", [ATTRIBUTIONS.get(n) for n in METHODS], ids=METHODS)
PIXELS = np.s_[:, :, None, None]


def small(slices=3, classes=1, seed=0):
    """A network that all methods are defined on, with an activation in place."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(slices, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=1, padding=1),
        nn.Conv2d(6, classes, 3, padding=1),
    ).eval()


def looks_at(*slices):
    """The network of `small` that sees these slices alone."""
    network = small()
    for s in range(3):
        if s not in slices:
            network[0].weight.data[:, s] = 0
    return DenseLogits(network)


def symmetric():
    network = small()
    weight = network[0].weight.data
    weight += weight.flip(1)
    return DenseLogits(network)


def affine(weights=(0.5, -2.0, 1.0)):
    """Σ_s w_s x_s + 50, through a ReLU that never closes, then less 50."""
    first, last = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, 1)
    first.weight.data = torch.tensor(weights).view(1, 3, 1, 1)
    first.bias.data.fill_(50)
    last.weight.data.fill_(1)
    last.bias.data.fill_(-50)
    return DenseLogits(nn.Sequential(first, nn.ReLU(), last).eval())


def stacks(count=2, height=32, width=32, slices=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, slices, height, width, generator=generator)


def masks(x, seed=1):
    shape = (len(x), *x.shape[-2:])
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5


def assert_same(one, other, tolerance=1e-5):
    """Up to rounding, as a part of the largest value."""
    assert one.shape == other.shape
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


def test_all_methods_are_listed_and_grad_cam_is_not():
    assert set(METHODS) <= set(list_attributions())
    assert not list_attributions("*cam*")


@every
def test_map_has_a_finite_value_for_each_pixel_of_each_slice(method):
    x = stacks(height=40, width=50)
    found = method(DenseLogits(small()), x, masks(x))
    assert found.shape == x.shape
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.any()
    assert not found.requires_grad


@every
def test_network_that_looks_at_one_slice_has_its_attribution_there_alone(method):
    x = stacks()
    mask, dense = masks(x), looks_at(0)
    found = method(dense, x, mask)
    assert found[:, 0].any()
    assert not found[:, 1:].any()
    back = method(dense.mirrored(), x, mask).flip(1)
    scores = symmetry(found.numpy(), back.numpy())
    assert scores.share.tolist() == [[1, 0, 0]] * 2
    assert scores.imbalance == pytest.approx([1, 1])
    assert scores.neighbour_asymmetry.tolist() == [-1, -1]
    assert scores.model_asymmetry.tolist() == [-1, -1]


@every
def test_swapping_the_neighbours_in_a_network_turns_its_asymmetry_round(method):
    x, there, swapped = stacks(), DenseLogits(small()), DenseLogits(small())
    swapped.model[0].weight.data = there.model[0].weight.data.flip(1)
    mask = masks(x)
    found = [
        symmetry(
            method(dense, x, mask).numpy(), method(dense.mirrored(), x, mask).flip(1).numpy()
        ).model_asymmetry
        for dense in (there, swapped)
    ]
    assert np.abs(found[0]).min() > 1e-3
    # a ReLU at 0, which rounding opens in one of them, changes one gradient of 32² or 25 × 32²
    np.testing.assert_allclose(found[1], -found[0], atol=1e-4)


@every
def test_mirror_symmetric_network_has_a_map_that_is_mirrored_with_the_stack(method):
    x = stacks()
    x[:, 2] *= 5
    mask, dense = masks(x), symmetric()
    there, back = method(dense, x, mask), method(dense.mirrored(), x, mask)
    assert_same(back, there)
    scores = symmetry(there.numpy(), back.flip(1).numpy())
    np.testing.assert_allclose(scores.model_asymmetry, 0, atol=1e-5)


@every
def test_mirrored_view_of_a_network_sees_the_reversed_stack(method):
    if method is ATTRIBUTIONS.get("smoothgrad"):
        pytest.skip("its noise stays with the slice, so that it is another network's noise")
    x, dense = stacks(), DenseLogits(small())
    mask = masks(x)
    assert_same(method(dense, x.flip(1), mask).flip(1), method(dense.mirrored(), x, mask))


@pytest.mark.parametrize("name", METHODS)
def test_affine_network_has_the_attribution_worked_out_by_hand(name):
    weights, x = torch.tensor([0.5, -2.0, 1.0]).view(1, 3, 1, 1), stacks()
    mask = masks(x)
    over = mask[:, None]
    greys = torch.randn(25, generator=torch.Generator().manual_seed(0)).mean()
    lost = (weights * x * over).double()
    patches = lost.unfold(2, 16, 16).unfold(3, 16, 16).sum((4, 5))
    expected = {
        "saliency": weights.abs() * over.expand_as(x),
        "input-x-gradient": weights * x * over,
        "integrated-gradients": weights * x * over,
        "smoothgrad": weights.abs() * over.expand_as(x),
        "gradient-shap": weights * (x - greys) * over,
        "guided-backprop": weights * over.expand_as(x),
        "deeplift": weights * x * over,
        "lrp": weights * x * over,
        "slice-occlusion": lost.mean((2, 3))[PIXELS].expand_as(x),
        "patch-occlusion": patches.repeat_interleave(16, 2).repeat_interleave(16, 3),
    }
    found = ATTRIBUTIONS.get(name)(affine(), x, mask)
    assert_same(found, expected[name].float(), 1e-4)


@every
def test_empty_mask_gives_zeros_and_leaves_the_other_images_alone(method):
    x, dense = stacks(3), DenseLogits(small())
    mask = masks(x)
    full = method(dense, x, mask)
    mask[1] = False
    found = method(dense, x, mask)
    assert not found[1].any()
    assert_same(found[[0, 2]], full[[0, 2]])


@every
def test_map_of_an_image_depends_on_no_other_image_nor_on_chunks_and_threads(method):
    x, dense = stacks(3), DenseLogits(small())
    mask = masks(x)
    alone = torch.cat([method(dense, x[n : n + 1], mask[n : n + 1]) for n in range(3)])
    for threads, chunk in [(1, 10 * 32**2), (2, 10 * 32**2), (2, 2 * 32**2), (1, 1)]:
        torch.set_num_threads(threads)
        dense.chunk = chunk
        assert_same(method(dense, x, mask), alone)


@every
def test_the_same_call_gives_the_same_bits_and_draws_nothing_from_others(method):
    x, dense = stacks(), DenseLogits(small())
    mask, state = masks(x), torch.get_rng_state()
    first = method(dense, x, mask)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(method(dense, x, mask), first)


@every
def test_network_and_input_are_left_as_they_were(method):
    x, network = stacks(), small()
    mask = masks(x)
    before, weights = x.clone(), {k: v.clone() for k, v in network.state_dict().items()}
    modules = [(name, type(module)) for name, module in network.named_modules()]
    method(DenseLogits(network), x, mask)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert [(name, type(module)) for name, module in network.named_modules()] == modules
    assert all(torch.equal(weights[k], v) for k, v in network.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert network[1].inplace
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not {"rule", "input", "output"} & set(vars(module))


@every
def test_of_several_classes_the_one_that_is_looked_at_is_explained(method):
    x, several, one = stacks(), small(classes=3), small()
    mask = masks(x)
    one.load_state_dict(
        {k: v[1:2] if k.startswith("3.") else v for k, v in several.state_dict().items()}
    )
    assert_same(method(DenseLogits(several, channel=1), x, mask), method(DenseLogits(one), x, mask))


@every
@pytest.mark.parametrize("slices", [1, 5])
def test_any_odd_number_of_slices_is_explained(method, slices):
    x = stacks(slices=slices)
    found = method(DenseLogits(small(slices)), x, masks(x))
    assert found.shape == x.shape
    assert found.flatten(2).any(2).all()


@every
def test_mask_is_the_given_one_and_not_the_prediction(method):
    x, dense = stacks(), affine()
    mask = masks(x)
    elsewhere = method(dense, x, mask) * ~mask[:, None]
    if method not in {ATTRIBUTIONS.get(f"{part}-occlusion") for part in ("slice", "patch")}:
        assert not elsewhere.any()  # the network looks at no neighbouring pixel
    assert_same(method(dense, x, mask) + method(dense, x, ~mask), method(dense, x, mask | True))


def test_plug_in_method_is_found_by_its_name():
    @register_attribution("for-a-test")
    def centre(dense, x, mask):
        """All of it in the centre."""
        return torch.zeros_like(x)

    try:
        assert ATTRIBUTIONS.get("for-a-test") is centre
        assert ATTRIBUTIONS.summary("for-a-test") == "All of it in the centre."
        assert "for-a-test" in list_attributions("for-*")
        with pytest.raises(UserError, match="registered twice"):
            register_attribution("for-a-test")(centre)
    finally:
        ATTRIBUTIONS._entries.pop("for-a-test")


def test_method_is_registered_by_its_name_and_not_bare():
    with pytest.raises(UserError, match="registered by its name"):
        register_attribution(lambda dense, x, mask: x)
