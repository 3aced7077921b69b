"""The slices of a stack are followed, value by value, to the weights that read them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traced_network import Net

from emsym.models.stem.slice_tracer import Constant
from emsym.models.stem.traced_run import trace

pytestmark = pytest.mark.numerical


def slots(run, channels=3, slices=3):
    """The slices that the stem reads behind `run`, input by input."""
    (read,) = trace(Net(lambda net, x: run(x), channels), slices).reads
    assert read.path == "stem.weight"
    assert not read.refused
    return read.slots


MOVES = {
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(1, 1),
    "index": lambda x: x[:, [*range(1, x.shape[1]), 0]],
    "index_select": lambda x: x.index_select(1, torch.arange(x.shape[1]).flip(0)),
    "cat": lambda x: torch.cat([x, x[:, :1]], 1),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "stack": lambda x: torch.stack(x.unbind(1)[::-1], 1),
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "focus": lambda x: torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1),
    "transpose": lambda x: x.transpose(2, 3),
    "permute": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "reshape": lambda x: x.flatten(2).unflatten(2, x.shape[2:]),
    "crop": lambda x: x[:, :, 2:-2, 2:-2],
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "pool": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "resize": lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
    "clone": lambda x: x.clone(memory_format=torch.channels_last),
}


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(MOVES)), max_size=4).filter(
        lambda names: sum(name in ("unshuffle", "focus", "repeat", "cat") for name in names) < 3
    ),
    slices=st.sampled_from([3, 5]),
)
def test_the_slots_tell_which_slice_each_input_of_the_stem_holds(names, slices):
    def run(x):
        for name in names:
            x = MOVES[name](x)
        return x

    held = run(torch.arange(float(slices)).view(1, -1, 1, 1).expand(1, slices, 64, 64))
    seen = slots(run, held.shape[1], slices)
    assert seen == tuple(round(value) for value in held[0, :, 3, 3].tolist())


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(5)))
def test_reordered_slices_are_told_apart(order):
    assert slots(lambda x: x[:, list(order)], 5, 5) == tuple(order)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda x: F.pad(x, (0, 0, 0, 0, 1, 0)), (-1, 0, 1, 2)),
        (lambda x: torch.cat([torch.ones_like(x[:, :1]), x], 1), (-1, 0, 1, 2)),
        (lambda x: torch.cat([x, x.new_zeros(1, 1, *x.shape[2:])], 1), (0, 1, 2, -1)),
    ],
    ids=["padded", "ones", "zeros"],
)
def test_channels_that_no_slice_fills_are_marked(run, expected):
    assert slots(run, 4) == expected


@pytest.mark.parametrize(
    "run",
    [
        lambda x: (x - 0.5) / 0.2,
        lambda x: x.clamp(0, 1).sqrt(),
        lambda x: x.mul_(2).add_(1),
        lambda x: x.double().float(),
        lambda x: x / x.amax(),
        lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1),
        lambda x: x * torch.ones(64, 64, device=x.device),
        lambda x: torch.where(x > 0, x, 0.1 * x),
        lambda x: F.dropout(x, 0.5, training=False),
        lambda x: F.instance_norm(x),
    ],
)
def test_what_treats_every_value_alike_hides_nothing(run):
    assert slots(run) == (0, 1, 2)


@pytest.mark.parametrize(
    ("linear", "expected"),
    [
        (lambda x: F.unfold(x, 2, stride=2).transpose(1, 2), (0,) * 4 + (1,) * 4 + (2,) * 4),
        (
            lambda x: (
                x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 3, 5, 1).flatten(3)
            ),
            (0, 1, 2) * 4,
        ),
    ],
    ids=["unfold", "channels-last"],
)
def test_patches_are_followed_into_a_linear_layer(linear, expected):
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(12, 5)

        def forward(self, x):
            return self.stem(linear(x))

    (read,) = trace(Patches(), 3).reads
    assert (read.path, read.kind, read.dim) == ("stem.weight", "Linear", 1)
    assert read.slots == expected


def test_constants_are_named_with_the_dimension_of_their_slices():
    shape = (1, 3, 1, 1)
    model = Net(lambda net, x: (x - net.mean) * net.scale[:, None, None], mean=torch.zeros(shape))
    model.scale = nn.Parameter(torch.ones(3))
    assert trace(model, 3).constants == (Constant("mean", 1), Constant("scale", 0))


def test_one_value_for_all_slices_is_no_constant():
    model = Net(lambda net, x: x - net.mean, mean=torch.zeros(1, 1, 1, 1))
    assert trace(model, 3).constants == ()


def test_statistics_of_a_normalisation_in_front_are_constants():
    names = [each.name for each in trace(nn.Sequential(nn.BatchNorm2d(3), Net()), 3).constants]
    assert sorted(names) == ["0.bias", "0.running_mean", "0.running_var", "0.weight"]


@pytest.mark.parametrize(
    "side",
    [
        lambda x: x[:, :2].mean(1, keepdim=True),
        lambda x: x[:, 1:].sum(1, keepdim=True),
        lambda x: torch.cat([x, x[:, :1]], 1).mean(1, keepdim=True),
        lambda x: x.max(1, keepdim=True).indices.to(x.dtype),
    ],
    ids=["mean-of-two", "sum-of-two", "one-counts-twice", "which-is-largest"],
)
def test_a_statistic_that_reversal_changes_is_refused(side):
    net = Net(lambda net, x: torch.cat([x, side(x)], 1), 4)
    assert any(read.refused for read in trace(net, 3).reads)


@pytest.mark.parametrize(
    "side",
    [
        lambda x: x.mean(1, keepdim=True),
        lambda x: x[:, ::2].sum(1, keepdim=True),
        lambda x: x.amax(1, keepdim=True),
    ],
    ids=["mean-of-all", "sum-of-both-sides", "largest"],
)
def test_a_statistic_that_reversal_keeps_is_nobodys(side):
    net = Net(lambda net, x: torch.cat([x, side(x)], 1), 4)
    (read,) = trace(net, 3).reads
    assert (read.refused, read.slots) == ("", (0, 1, 2, -1))


def test_constants_whose_dimension_cannot_be_told_are_refused():
    def normalise(net, x):
        return (x - net.ms[0].view(1, 3, 1, 1)) / net.ms[1].view(1, 3, 1, 1)

    assert any(read.refused for read in trace(Net(normalise, ms=torch.rand(3, 3) + 1), 3).reads)
