"""Multipliers of known answers: the change of what comes out, by the change of what goes in."""

import pytest
import torch
from torch import nn

from emsym.scores.attribution.multipliers import Conserve, rescaling, size_pair

ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.1), nn.ELU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus()]


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def multiplier(module, x, reference):
    """What comes back to x for each value of one that comes out."""
    rescaled = rescaling(module)
    x = x.clone().requires_grad_()
    rescaled(reference)
    rescaled(x).sum().backward()
    return x.grad


def test_multipliers_of_a_relu_are_the_slopes_between_the_two():
    x, reference = torch.tensor([[3.0, 1, -1, 2]]), torch.tensor([[-1.0, -1, -2, 1]])
    assert multiplier(nn.ReLU(), x, reference).tolist() == [[0.75, 0.5, 0, 1]]


@pytest.mark.parametrize("module", ACTIVATIONS, ids=lambda module: type(module).__name__)
def test_what_goes_out_is_as_before_and_multipliers_add_up(module):
    x, reference = noise(0, 2, 4, 5, 5), noise(1, 2, 4, 5, 5)
    rescaled = rescaling(module)
    assert torch.equal(rescaled(reference), module(reference))
    assert torch.equal(rescaled(x), module(x))
    brought = multiplier(module, x, reference) * (x - reference)
    torch.testing.assert_close(brought, module(x) - module(reference))


def test_where_nothing_differs_it_is_the_gradient():
    x = noise(0, 1, 3, 4, 4)
    torch.testing.assert_close(multiplier(nn.Tanh(), x, x.clone()), 1 - x.tanh() ** 2)


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((3, 2), (1, 2), (1, 0))], ids=str
)
def test_a_pooling_of_any_windows_is_as_before_and_adds_up(pool):
    x, reference = noise(0, 2, 3, 8, 8), noise(1, 2, 3, 8, 8)
    rescaled = rescaling(pool)
    assert torch.equal(rescaled(reference), pool(reference))
    assert torch.equal(rescaled(x), pool(x))
    brought = (multiplier(pool, x, reference) * (x - reference)).sum()
    torch.testing.assert_close(brought, (pool(x) - pool(reference)).sum())


def test_each_pair_of_calls_has_a_reference_of_its_own():
    rescaled, kept = rescaling(nn.ReLU()), []
    for reference in (-1.0, -3.0):
        x = torch.full((1, 1), 1.0, requires_grad=True)
        rescaled(torch.full((1, 1), reference))
        rescaled(x).sum().backward()
        kept.append(x.grad.item())
    assert kept == [0.5, 0.25]


def test_tanh_conserves_what_passes_through():
    x = noise(0, 2, 3, 4, 4).requires_grad_()
    made, relevance = Conserve()(x), noise(1, 2, 3, 4, 4)
    assert torch.equal(made, x.tanh())
    (made * (relevance / made.detach())).sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), relevance)
    zero = torch.zeros(1, requires_grad=True)
    Conserve()(zero).sum().backward()
    assert zero.grad.item() == 1


def test_a_size_is_down_and_across():
    assert size_pair(3) == (3, 3)
    assert size_pair((3, 2)) == (3, 2)
