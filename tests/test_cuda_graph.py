"""A captured training pass trains as the network itself does, and one that cannot be is told of."""

import copy
import warnings

import pytest
import torch
from torch import nn

from emsym import create_model
from emsym.cuda_graph import NotCaptured, captured
from emsym.protocol import Recipe
from emsym.train import train

pytestmark = pytest.mark.numerical


class Waiting(nn.Module):
    """A network that looks at a value in the middle of its pass, which no graph can hold."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, images):
        made = self.norm(self.conv(images))
        return made if made.sum().item() > 1e9 else 2 * made


def batches(device, side=64):
    generator = torch.Generator().manual_seed(0)

    def batch():
        images = torch.randn(8, 3, side, side, generator=generator).to(device)
        return images, (images[:, 1:2] > 0).float()

    return batch


def recipe(**changes):
    settings = {"steps": 8, "batch_size": 8, "patch": 64, "learning_rate": 1e-3}
    return Recipe(**{**settings, **changes})


@pytest.mark.skipif(torch.cuda.is_available(), reason="here a GPU captures it")
def test_what_cannot_be_captured_answers_by_itself_and_says_why():
    torch.manual_seed(0)
    network = Waiting().train()
    before = copy.deepcopy(network.state_dict())
    with pytest.warns(NotCaptured, match="."):
        answer = captured(network, torch.zeros(2, 3, 8, 8))
    assert answer is network
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def both(model, monkeypatch, **changes):
    """Train a copy of it captured and one kernel by kernel; return losses and states of both."""
    found = []
    for graph in (True, False):
        if not graph:
            monkeypatch.setattr("emsym.train.captured", lambda network, *_: network)
        network = copy.deepcopy(model).cuda()
        torch.manual_seed(1)
        curve = train(network, batches("cuda"), recipe(**changes))
        found.append((curve, network.state_dict()))
    return found


@pytest.mark.gpu
@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
@pytest.mark.parametrize("init", ["random", "random+mirror-tied", "random+adapter"])
def test_a_captured_pass_trains_as_the_network_does(architecture, init, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotCaptured)
        (graph, state), (plain, expected) = both(create_model(architecture, init), monkeypatch)
    assert graph == pytest.approx(plain, rel=1e-4)
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float64"])
def test_in_every_precision(precision, monkeypatch):
    model = create_model("unet-tu-test_resnet", "random")
    (graph, _), (plain, _) = both(model, monkeypatch, precision=precision)
    assert graph == pytest.approx(plain, rel=2e-2)


@pytest.mark.gpu
def test_a_pass_that_waits_for_a_value_is_trained_kernel_by_kernel():
    torch.manual_seed(0)
    with pytest.warns(NotCaptured):
        curve = train(Waiting().cuda(), batches("cuda"), recipe(steps=30, learning_rate=1e-1))
    assert curve[-1] < curve[0]
    assert torch.ones(2, device="cuda").sum().item() == 2  # the device still works
