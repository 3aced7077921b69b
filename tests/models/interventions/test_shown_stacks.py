"""Stacks are reversed, their sides swapped and their neighbours dropped fairly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emsym.models.interventions.shown_stacks import DROPPED, side_shuffle, slice_dropout, zflip

pytestmark = pytest.mark.numerical


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 9),
    slices=st.sampled_from([1, 3, 5]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.uint8]),
    last=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_each_stack_is_itself_or_reversed(count, slices, dtype, last, seed):
    layout = torch.channels_last if last else torch.contiguous_format
    x = (torch.rand(count, slices, 4, 3) * 255).to(dtype).contiguous(memory_format=layout)
    before = x.clone()
    y = zflip(x, torch.Generator().manual_seed(seed))
    assert torch.equal(x, before)
    assert (y.dtype, y.device, y.shape) == (x.dtype, x.device, x.shape)
    assert y.is_contiguous(memory_format=layout)
    for given_, shown in zip(x, y, strict=True):
        assert torch.equal(shown, given_) or torch.equal(shown, given_.flip(0))
    assert torch.equal(y, zflip(x, torch.Generator().manual_seed(seed)))


def flips(seed, count=400):
    """Which of many stacks were reversed."""
    x = torch.arange(3.0).view(1, 3, 1, 1).repeat(count, 1, 2, 2)
    return zflip(x, torch.Generator().manual_seed(seed))[:, 0, 0, 0] == 2


def test_about_half_of_the_stacks_are_reversed_each_by_itself():
    flipped = flips(0)
    assert 160 < flipped.sum() < 240
    changes = (flipped[1:] != flipped[:-1]).sum()
    assert 160 < changes < 240
    assert not torch.equal(flips(1), flipped)


def test_flipping_goes_on_with_its_generator_and_leaves_the_global_one():
    generator, state = torch.Generator().manual_seed(0), torch.get_rng_state()
    x = torch.arange(3.0).view(1, 3, 1, 1).repeat(64, 1, 1, 1)
    assert not torch.equal(zflip(x, generator), zflip(x, generator))
    assert torch.equal(torch.get_rng_state(), state)


@settings(max_examples=30, deadline=None)
@given(half=st.integers(0, 4), seed=st.integers(0, 999))
def test_a_shuffle_swaps_slices_of_one_distance_alone(half, seed):
    x = torch.arange(2 * half + 1.0).view(1, -1, 1, 1).expand(6, -1, 2, 3)
    y = side_shuffle(x, torch.Generator().manual_seed(seed))
    assert torch.equal(y[:, half], x[:, half])
    distance = (torch.arange(2 * half + 1) - half).abs().view(1, -1, 1, 1)
    assert torch.equal((y - half).abs(), distance.expand_as(y).float())
    assert torch.equal(y + y.flip(1), x + x.flip(1)), "none is there twice"


def test_a_shuffle_of_three_slices_reverses_them_and_of_five_leaves_each_distance_its_own():
    x = torch.rand(4, 3, 2, 2)
    both = (side_shuffle, zflip)
    assert torch.equal(*(each(x, torch.Generator().manual_seed(3)) for each in both))
    x = torch.arange(5.0).view(1, 5, 1, 1).expand(4000, 5, 1, 1)
    y = side_shuffle(x, torch.Generator().manual_seed(0))[:, :2, 0, 0]
    kinds, counts = torch.unique(y, dim=0, return_counts=True)
    assert kinds.tolist() == [[0, 1], [0, 3], [4, 1], [4, 3]]
    assert (counts - 1000).abs().max() < 120  # 4 standard deviations


def test_a_stack_that_is_reversed_and_then_shuffled_is_shuffled_and_no_more():
    x = torch.arange(5.0).view(1, 5, 1, 1).expand(4000, 5, 1, 1)
    generator = torch.Generator().manual_seed(0)
    y = side_shuffle(zflip(x, generator), generator)[:, :2, 0, 0]
    kinds, counts = torch.unique(y, dim=0, return_counts=True)
    assert kinds.tolist() == [[0, 1], [0, 3], [4, 1], [4, 3]]
    assert (counts - 1000).abs().max() < 120  # 4 standard deviations


def test_neighbours_are_dropped_as_often_as_is_said_and_the_centre_never():
    x = torch.ones(4000, 5, 1, 2)
    y = slice_dropout(x, torch.Generator().manual_seed(0))
    assert torch.equal(y[..., 0], y[..., 1])
    assert torch.equal(y[:, 2], x[:, 2])
    part = 1 - y[:, [0, 1, 3, 4], 0, 0].mean(0)
    assert (part - DROPPED).abs().max() < 4 * (DROPPED * (1 - DROPPED) / 4000) ** 0.5
