"""A stack is followed to the weights that read it, and the network is left as it was."""

import copy
import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from emsym.models.stem.slice_tracer import Constant
from emsym.models.stem.trace import trace

pytestmark = pytest.mark.numerical


class Net(nn.Module):
    """A convolution of what `run` makes of the stack; `keeps` are attributes and buffers."""

    def __init__(self, run=lambda net, x: x, channels=3, **keeps):
        super().__init__()
        self.run = run
        self.stem = nn.Conv2d(channels, 2, 1)
        for name, value in keeps.items():
            if isinstance(value, torch.Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x):
        return self.stem(self.run(self, x))


def slots(run, channels=3, slices=3):
    """The slices that the stem reads behind `run`, input by input."""
    (read,) = trace(Net(lambda net, x: run(x), channels), slices).reads
    assert read.path == "stem.weight"
    assert not read.refused
    return read.slots


# --- what is followed -----------------------------------------------------------------------------

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


def test_weights_replaced_for_a_trial_take_the_place_of_the_networks_own():
    model = Net()
    wide = {"stem.weight": torch.zeros(2, 5, 1, 1)}
    assert trace(model, 5, wide).reads[0].slots == (0, 1, 2, 3, 4)
    assert model.stem.weight.shape == (2, 3, 1, 1)


# --- what is run ----------------------------------------------------------------------------------


def watched(decides=False, size=None):
    """A network and the devices and sizes of the stacks that it was run on."""
    seen = []

    def run(net, x):
        assert size in (None, x.shape[-1]), "another size"
        if decides and x.max() > 3:
            x = x / 255
        seen.append((x.device.type, x.shape[-1]))
        return x

    return Net(run), seen


def test_nothing_is_computed_where_shapes_suffice():
    model, seen = watched()
    trace(model, 3)
    assert seen == [("meta", 64)]


def test_a_network_that_needs_values_is_run_once_on_a_small_stack():
    model, seen = watched(decides=True)
    assert trace(model, 3).reads[0].slots == (0, 1, 2)
    assert seen == [("cpu", 64)]


@pytest.mark.parametrize("size", [64, 224, 256, 336, 384, 518])
def test_a_network_of_one_size_gets_it(size):
    model, seen = watched(size=size)
    assert trace(model, 3).size == size
    assert seen == [("meta", size)]


def test_a_network_without_memory_is_followed_as_well():
    with torch.device("meta"):
        model = Net()
    assert trace(model, 3).reads[0].slots == (0, 1, 2)
    assert model.stem.weight.is_meta


def test_the_networks_own_error_is_raised():
    model, _ = watched(size=65)
    with pytest.raises(AssertionError, match="another size"):
        trace(model, 3)


# --- the network is left as it was ----------------------------------------------------------------


def keeping(net, x):
    """What networks do to themselves while they run."""
    net.masks[x.shape] = torch.ones_like(x)
    net.features.append(x)
    net.calls += 1
    net.last = x
    net.count += 1
    net.grid = torch.zeros_like(x)
    return x * torch.rand(())


def drawing(net, x):
    keeping(net, x)
    return x * torch.randn(()) if x.max() < 3 else x


def raising(net, x):
    keeping(net, x)
    raise RuntimeError("out of luck")


def snapshot(model):
    """All that a network is made of, with the identity of what can be changed in place."""
    return [
        (
            name,
            type(module),
            module.training,
            {
                key: (id(value), copy.copy(value))
                for key, value in vars(module).items()
                if not isinstance(value, torch.Tensor)
            },
            [
                (key, id(value), value.device, value.requires_grad, value.tolist())
                for own in (module._parameters, module._buffers)
                for key, value in own.items()
            ],
        )
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("run", [keeping, drawing, raising])
def test_a_network_is_left_as_it_was(run, training):
    net = Net(run, masks={}, features=[], calls=0, count=torch.zeros(()), grid=torch.ones(1))
    model = nn.Sequential(nn.BatchNorm2d(3), net, nn.Dropout()).train(training)
    model[0].eval()
    net.stem.weight.requires_grad_(False)
    net.stem.register_forward_hook(lambda *_: None)
    model.register_forward_pre_hook(lambda *_: None)
    before, state = snapshot(model), torch.get_rng_state()
    if run is raising:
        with pytest.raises(RuntimeError, match="out of luck"):
            trace(model, 3)
    else:
        trace(model, 3)
    assert snapshot(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert not hasattr(net, "last")
    assert torch.is_grad_enabled()
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


def test_a_network_still_trains_afterwards():
    model = Net(drawing, masks={}, features=[], calls=0, count=torch.zeros(()), grid=torch.ones(1))
    trace(model, 3)
    model(torch.rand(1, 3, 8, 8)).sum().backward()
    assert model.stem.weight.grad is not None
    assert model.calls == 1
    assert [x.device.type for x in model.features] == ["cpu"]


def test_a_networks_own_hooks_still_act():
    model = nn.Sequential(Net(channels=6))
    model.register_forward_pre_hook(lambda _, args: (args[0].repeat(1, 2, 1, 1),))
    assert trace(model, 3).reads[0].slots == (0, 1, 2, 0, 1, 2)


def test_pythons_random_numbers_may_be_drawn():
    (read,) = trace(Net(lambda net, x: x * random.random()), 3).reads
    assert read.slots == (0, 1, 2)


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


def test_a_network_runs_inside_inference_mode():
    with torch.inference_mode():
        assert trace(Net(), 3).reads[0].slots == (0, 1, 2)
