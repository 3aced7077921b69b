"""A network is run once on a small stack, and left as it was."""

import copy
import random

import pytest
import torch
from torch import nn
from traced_network import Net

from emsym.models.stem.traced_run import trace

pytestmark = pytest.mark.numerical


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


def test_weights_replaced_for_a_trial_take_the_place_of_the_networks_own():
    model = Net()
    wide = {"stem.weight": torch.zeros(2, 5, 1, 1)}
    assert trace(model, 5, wide).reads[0].slots == (0, 1, 2, 3, 4)
    assert model.stem.weight.shape == (2, 3, 1, 1)


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


def test_a_network_runs_inside_inference_mode():
    with torch.inference_mode():
        assert trace(Net(), 3).reads[0].slots == (0, 1, 2)
