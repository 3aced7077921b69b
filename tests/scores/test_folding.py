"""Folded norms: the same answers with fewer passes over memory, and none where that is not sure."""

import copy

import pytest
import torch
from torch import nn

from emsym.models.architectures import build_model, create_model
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.folding import folded

pytestmark = pytest.mark.numerical


def x(count=2, side=64):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def norms(dense):
    return sum(isinstance(module, nn.BatchNorm2d) for module in dense.modules())


def trained(model):
    """A network whose norms do something."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                for values in (module.weight, module.bias, module.running_mean, module.running_var):
                    values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return model.eval()


class Norm(nn.Sequential):
    def __init__(self, **settings):
        super().__init__(nn.Conv2d(3, 1, 3, padding=1), nn.BatchNorm2d(1, **settings), nn.ReLU())


class Shared(nn.Module):
    """`conv` and `norm` are each called as often as `forward` says."""

    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm, self.third = nn.BatchNorm2d(3), nn.BatchNorm2d(3)


class TakenTwice(Shared):
    def forward(self, stack):
        made = self.conv(stack)
        return (self.norm(made) + made).sum(1, True)


class OneNormOfTwo(Shared):
    def forward(self, stack):
        return (self.norm(self.conv(stack)) + self.norm(self.other(stack))).sum(1, True)


class TwoNormsOfOne(Shared):
    def forward(self, stack):
        return (self.norm(self.conv(stack)) + self.third(self.conv(stack))).sum(1, True)


class Repeated(Shared):
    def forward(self, stack):
        once = self.norm(self.conv(stack))
        return self.norm(self.conv(once.relu())).sum(1, True)


class OwnNorm(nn.BatchNorm2d):
    def forward(self, stack):
        return 2 * super().forward(stack)


class OtherWayForSome(Shared):
    """What the convolution gives is taken by the norm alone where the stack's mean is below 0."""

    def forward(self, stack):
        made = self.conv(stack)
        return (self.norm(made) + made * (stack.mean() > 0)).sum(1, True)


@pytest.mark.parametrize(
    ("architecture", "init"),
    [
        ("unet-tu-test_resnet", "random"),
        ("linknet-tu-test_efficientnet", "random"),
        ("linknet-tu-test_efficientnet", "random+flip-average"),
        ("linknet-tu-tf_efficientnet_lite0", "random+adapter"),
    ],
)
def test_answers_are_the_same_and_no_norm_is_left(architecture, init):
    dense = DenseLogits(trained(build_model(architecture, init, 3, None, 0).model))
    other = folded(dense, x())
    with torch.no_grad():
        before, after = dense(x()), other(x())
    assert norms(dense) > 5
    assert norms(other) == 0
    assert (after - before).abs().max() < 1e-5 * (before.max() - before.min())


def test_the_network_itself_is_left_as_it_is():
    model = trained(create_model("linknet-tu-test_efficientnet", "random"))
    before, modules = copy.deepcopy(model.state_dict()), [type(m) for m in model.modules()]
    folded(DenseLogits(model), x())
    assert [type(module) for module in model.modules()] == modules
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_class_reversal_and_chunk_are_kept():
    dense = DenseLogits(trained(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2))), 1)
    dense.chunk = 123
    other = folded(dense.mirrored(), x())
    assert (other.channel, other.reversed, other.chunk) == (1, True, 123)
    with torch.no_grad():
        torch.testing.assert_close(other(x()), dense(x().flip(1)))


def test_a_module_that_is_called_again_with_the_same_norm_is_folded():
    assert norms(folded(DenseLogits(trained(Repeated())), x())) == 1  # `third` is never called


@pytest.mark.parametrize(
    "model",
    [
        trained(TakenTwice()),
        trained(OneNormOfTwo()),
        trained(TwoNormsOfOne()),
        trained(Norm(track_running_stats=False)),
        Norm().train(),
        nn.Sequential(nn.Conv2d(3, 1, 1), OwnNorm(1)).eval(),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)).eval(),
        nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.BatchNorm2d(1)).eval(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_where_it_would_change_the_answer_nothing_is_folded(model):
    dense = DenseLogits(model)
    assert folded(dense, x()) is dense


@pytest.mark.parametrize("other", [1, 2, 3])
def test_each_of_the_first_stacks_is_checked(other):
    stacks = x(4) - x(4).mean((1, 2, 3), keepdim=True) - 0.1
    dense = DenseLogits(trained(OtherWayForSome()))
    assert norms(folded(dense, stacks)) == 1
    stacks[other] += 1
    assert folded(dense, stacks) is dense
    assert norms(folded(dense, stacks[:other])) == 1, "what is not handed over cannot tell"


def test_a_convolution_with_a_hook_keeps_its_norm():
    model = trained(Norm())
    model[0].register_forward_hook(lambda module, args, answer: 2 * answer)
    dense = DenseLogits(model)
    assert folded(dense, x()) is dense


def test_what_cannot_be_copied_or_is_traced_is_taken_as_it_is():
    dense = DenseLogits(torch.jit.trace(trained(Norm()), x()))
    assert folded(dense, x()) is dense
