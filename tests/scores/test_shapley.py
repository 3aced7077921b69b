"""Shapley values of slices: exact, complete, and the known answers of small games."""

from itertools import product

import captum.attr as captum
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from emsym.models.architectures import create_model
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.shapley import shapley_values, slice_shapley, totals

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


class Gives(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return DenseLogits(create_model("unet-tu-test_resnet").eval())


def stacks(count=2, slices=3, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, slices, size, size, generator=generator)


def masks(x, count=1):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, len(x), *x.shape[-2:], generator=generator) > 0.5


def total(dense, x, masks):
    with torch.no_grad():
        return (dense(x).double() * masks).sum((2, 3)).numpy()


def coalitions(players):
    return list(product((False, True), repeat=players))


@st.composite
def games(draw, players=None):
    players = players or draw(st.integers(1, 5))
    worth = st.floats(-100, 100, allow_nan=False)
    return {c: draw(worth) for c in coalitions(players)}


@given(games())
def test_values_add_up_to_what_all_players_bring_together(game):
    players = len(next(iter(game)))
    brought = game[(True,) * players] - game[(False,) * players]
    assert shapley_values(game).sum() == pytest.approx(brought, abs=1e-9)


@given(games(), st.randoms(use_true_random=False))
def test_player_that_brings_nothing_to_anyone_has_no_value(game, random):
    players = len(next(iter(game)))
    idle = random.randrange(players)
    without = {c: game[(*c[:idle], False, *c[idle + 1 :])] for c in game}
    assert shapley_values(without)[idle] == pytest.approx(0, abs=1e-9)


@given(games(), st.randoms(use_true_random=False))
def test_values_follow_the_players_when_these_change_places(game, random):
    order = list(range(len(next(iter(game)))))
    random.shuffle(order)
    moved = {tuple(c[p] for p in order): value for c, value in game.items()}
    np.testing.assert_allclose(shapley_values(moved), shapley_values(game)[order], atol=1e-9)


@given(games(3))
def test_players_that_bring_the_same_have_the_same_value(game):
    alike = {c: game[tuple(sorted(c[:2])) + c[2:]] for c in game}
    values = shapley_values(alike)
    assert values[0] == pytest.approx(values[1], abs=1e-9)


@given(games(4), games(4))
def test_values_of_two_games_add_up(one, other):
    both = {c: one[c] + other[c] for c in one}
    np.testing.assert_allclose(
        shapley_values(both), shapley_values(one) + shapley_values(other), atol=1e-9
    )


def test_glove_game():
    """One has a left glove, two have a right one; a pair is worth 1: (2/3, 1/6, 1/6)."""
    game = {c: float(c[0] and (c[1] or c[2])) for c in coalitions(3)}
    np.testing.assert_allclose(shapley_values(game), [2 / 3, 1 / 6, 1 / 6])


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_additive_network_gives_each_slice_its_own_part(slices):
    weights = torch.arange(1.0, slices + 1).view(-1, 1, 1)
    dense = DenseLogits(Gives(lambda x: (weights * x).sum(1, keepdim=True) + 7))
    x = stacks(slices=slices)
    chosen = masks(x, 2)
    found, back = slice_shapley(dense, x, chosen)
    expected = (weights * x * chosen[:, :, None]).double().sum((3, 4)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    turned = (weights * x.flip(1) * chosen[:, :, None]).double().sum((3, 4)).numpy()
    np.testing.assert_allclose(back, turned, rtol=1e-4, atol=1e-3)


def test_network_that_looks_at_one_slice_has_its_value_there_alone():
    x = stacks()
    chosen = masks(x)
    dense = DenseLogits(Gives(lambda x: x[:, :1].abs() + 3))
    found, back = slice_shapley(dense, x, chosen)
    for values, first in ((found, x[:, 0]), (back, x[:, 2])):
        np.testing.assert_allclose(values[0, :, 0], (first.abs() * chosen[0]).sum((1, 2)), 1e-5)
        assert not values[:, :, 1:].any()


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_values_add_up_to_the_difference_from_the_training_mean(slices):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(slices, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    dense, x = DenseLogits(network), stacks(slices=slices)
    chosen = masks(x, 2)
    nothing = total(dense, torch.zeros_like(x), chosen)
    found, back = slice_shapley(dense, x, chosen)
    assert found.shape == back.shape == (2, 2, slices)
    np.testing.assert_allclose(found.sum(2), total(dense, x, chosen) - nothing, 1e-3)
    np.testing.assert_allclose(back.sum(2), total(dense, x.flip(1), chosen) - nothing, 1e-3)


def test_values_of_a_unet_are_captums(unet):
    x = stacks()
    chosen = masks(x)
    found, back = slice_shapley(unet, x, chosen)
    for values, stack in ((found, x), (back, x.flip(1))):
        for n in range(2):
            (expected,) = _by_captum(unet, stack[n : n + 1], chosen[0, n])
            np.testing.assert_allclose(values[0, n], expected, rtol=1e-4, atol=1e-3)
        nothing = total(unet, torch.zeros_like(x), chosen)
        np.testing.assert_allclose(values.sum(2), total(unet, stack, chosen) - nothing, 1e-3)


def _by_captum(dense, x, mask):
    """All orders of arrival, one by one: each is as likely as the others."""
    from itertools import permutations

    def function(stack):
        with torch.no_grad():
            return (dense(stack).double() * mask).sum((1, 2))

    slices = x.shape[1]
    features = torch.arange(slices).view(1, -1, 1, 1).expand_as(x).contiguous()
    method = captum.ShapleyValues(function)
    method.permutation_generator = lambda count, samples: permutations(range(count))
    return method.attribute(x, feature_mask=features)[:, :, 0, 0].numpy()


def test_mirrored_values_are_those_of_the_mirrored_stack(unet):
    x = stacks()
    chosen = masks(x, 2)
    _, back = slice_shapley(unet, x, chosen)
    there, _ = slice_shapley(unet, x.flip(1), chosen)
    np.testing.assert_allclose(back, there, rtol=1e-5, atol=1e-4)


def test_logits_that_are_known_already_give_the_same_values(unet):
    x = stacks()
    chosen = masks(x)
    with torch.no_grad():
        known = slice_shapley(unet, x, chosen, unet(x), unet(x.flip(1)))
    for one, other in zip(known, slice_shapley(unet, x, chosen), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)


def test_each_stack_goes_through_the_network_once():
    seen = []

    def answer(x):
        seen.extend(x.flatten(1).double().sum(1).tolist())
        return x[:, :1] * x[:, 2:]

    x = stacks(1)
    slice_shapley(DenseLogits(Gives(answer)), x, masks(x))
    # 8 coalitions of either stack; nothing at all and the centre alone are both's
    assert len(seen) == 14


def test_empty_mask_has_no_values(unet):
    x = stacks()
    found, back = slice_shapley(unet, x, torch.zeros(1, 2, 32, 32, dtype=torch.bool))
    assert np.isnan(found).all()
    assert np.isnan(back).all()


def test_arrangements_are_put_together_from_the_slices_of_the_stack():
    x = stacks()
    chosen = torch.ones(1, 2, 32, 32, dtype=torch.bool)
    dense = DenseLogits(
        Gives(lambda x: (x * torch.tensor([1.0, 10, 100]).view(3, 1, 1)).sum(1)[:, None])
    )
    found = totals(dense, x, chosen, [(2, -1, 0), (1, 1, 1), (-1, -1, -1)])
    sums = x.double().sum((2, 3)).numpy()
    np.testing.assert_allclose(found[2, -1, 0][0], sums[:, 2] + 100 * sums[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found[1, 1, 1][0], 111 * sums[:, 1], rtol=1e-4)
    assert not found[-1, -1, -1].any()


def test_more_slices_than_can_be_enumerated_are_refused(unet):
    x = stacks(slices=9)
    with pytest.raises(ValueError, match="at most 7 slices"):
        slice_shapley(unet, x, masks(x))
