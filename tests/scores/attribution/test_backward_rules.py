"""Methods that change the way back: right where they are defined, refused by name elsewhere."""

import copy

import captum.attr as captum
import pytest
import torch
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn
from torch.nn import functional as F

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.scores.attribution.backward_rules import deeplift, guided_backprop, lrp
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.dense_logits import DenseLogits

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


def stacks(count=2, size=32, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def masks(x, seed=1):
    shape = (len(x), *x.shape[-2:])
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5


def stirred(network, seed=0):
    """With biases and running statistics that are not those of a network just made."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        if getattr(module, "bias", None) is not None:
            module.bias.data.normal_(0, 0.3, generator=generator)
    return DenseLogits(network.eval())


def named(architecture):
    torch.manual_seed(0)
    return stirred(create_model(architecture, "random"))


class Around(nn.Module):
    """Two convolutions and what is between them."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.between = between
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class Branches(nn.Module):
    """Several activations of one and the same tensor."""

    def __init__(self):
        super().__init__()
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()

    def forward(self, x):
        return self.relu(x) + 2 * self.tanh(x) - self.relu(x)[:, [1, 0, 3, 2]]


class Twice(nn.Module):
    """One ReLU in two places, as in torchvision's residual blocks, and a skip around it."""

    def __init__(self, skip=True):
        super().__init__()
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.skip = skip

    def forward(self, x):
        found = self.relu(self.middle(self.relu(x.clone())))
        return found + x if self.skip else found


class Applies(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def difference(dense, x, mask):
    with torch.no_grad():
        return ((dense(x) - dense(torch.zeros_like(x))).double() * mask).sum((1, 2))


def assert_complete(dense, x, mask):
    """In single precision, and in double precision, which leaves rounding little room."""
    assert_adds_up(dense, x, mask)
    assert_adds_up(DenseLogits(copy.deepcopy(dense.model).double()), x.double(), mask)


def assert_adds_up(dense, x, mask):
    """Up to rounding: each layer's, on the way there and back, is ε of what is summed.

    That are the contributions, which cancel: on a deep network their sum may be a thousandth of
    them. So a part of the sum would be no measure of what is lost.
    """
    found = deeplift(dense, x, mask).double()
    layers = sum(not list(module.children()) for module in dense.model.modules())
    allowed = 2 * layers * torch.finfo(x.dtype).eps * found.abs().sum((1, 2, 3))
    off = (found.sum((1, 2, 3)) - difference(dense, x, mask)).abs()
    assert (off <= allowed).all(), (off, allowed)


def assert_same(one, other, tolerance):
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


def plain(dense, mask):
    return Applies(lambda x: (dense(x) * mask.repeat(len(x) // len(mask), 1, 1)).sum((1, 2)))


@pytest.mark.parametrize(
    "architecture", ["unet-tu-test_resnet", "unet-resnet34", "linknet-resnet34", "unet-vgg11"]
)
def test_deeplift_adds_up_to_the_difference_from_the_training_mean(architecture):
    dense, x = named(architecture), stacks()
    mask = masks(x)
    assert_complete(dense, x, mask)
    plainly = ATTRIBUTIONS.get("input-x-gradient")(dense, x, mask)
    assert (deeplift(dense, x, mask) - plainly).abs().max() > 0.1 * plainly.abs().max()


@pytest.mark.parametrize(
    "between",
    [
        nn.ReLU(inplace=True),
        nn.LeakyReLU(0.1),
        nn.ELU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
        nn.MaxPool2d(3, 1, 1),
        nn.Sequential(nn.MaxPool2d((3, 2), (1, 2), (1, 0)), nn.Upsample(scale_factor=(1, 2))),
        nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.AvgPool2d(2)),
        nn.Sequential(nn.PixelUnshuffle(2), nn.ReLU(), nn.PixelShuffle(2), nn.Dropout()),
        Twice(),
        Branches(),
        Applies(lambda x: 2 * x / 3 - 1),
    ],
    ids=lambda between: type(between).__name__,
)
def test_deeplift_is_complete_on_what_it_covers(between):
    for count in (2, 1):  # a single stack takes the memory of the reference
        x = stacks(count)
        assert_complete(DenseLogits(Around(between).eval()), x, masks(x))


@pytest.mark.parametrize(
    "between",
    [nn.LeakyReLU(0.1), nn.ELU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus()],
    ids=lambda between: type(between).__name__,
)
def test_deeplift_of_nearly_the_training_mean_keeps_its_digits(between):
    """Differences of 1e-4 are divided by one another: of theirs, rounding leaves three digits."""
    x = 1e-4 * stacks()
    network = Around(between).eval()
    found = deeplift(DenseLogits(network), x, masks(x))
    expected = deeplift(DenseLogits(network.double()), x.double(), masks(x))
    # 36 products at most are summed on each of two layers, there and back
    assert_same(found.double(), expected, 4 * 36**0.5 * torch.finfo(x.dtype).eps)


def test_deeplift_is_captums_where_that_is_right():
    x = stacks()
    mask = masks(x)
    # not where a hooked module feeds another: of the two hooks on one tensor, the first one's wins
    layers = (nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Upsample(scale_factor=2))
    dense = DenseLogits(Around(nn.Sequential(*layers)))
    expected = captum.DeepLift(plain_module(dense, mask)).attribute(x.clone().requires_grad_())
    assert_same(deeplift(dense, x, mask), expected.detach(), 1e-5)


def plain_module(dense, mask):
    """The network and what adds up its logits, as captum wants it: hooked in place."""

    class Total(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = dense

        def forward(self, x):
            return plain(self.dense, mask)(x)

    return Total()


def test_guided_backprop_is_captums_where_that_is_right():
    x = stacks()
    mask = masks(x)
    dense = named("unet-tu-test_resnet")
    for module in dense.model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    expected = captum.GuidedBackprop(plain_module(dense, mask)).attribute(
        x.clone().requires_grad_()
    )
    assert_same(guided_backprop(dense, x, mask), expected.detach(), 1e-5)


def test_guided_backprop_passes_no_negative_gradient():
    """relu(x) − relu(−x) is x, of gradient 1; the second ReLU gets −1 and passes nothing."""

    class Difference(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return (self.relu(x) - self.relu(-x))[:, :1]

    x = stacks()
    found = guided_backprop(DenseLogits(Difference()), x, masks(x))
    expected = torch.zeros_like(x)
    expected[:, 0] = (x[:, 0] > 0) & masks(x)
    assert torch.equal(found, expected)


def test_guided_backprop_leaves_the_way_around_a_relu_alone():
    """relu(−x) − 2 x: what goes round the ReLU is −2 and is passed, though negative."""

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return (self.relu(-x) - 2 * x)[:, :1]

    x = stacks()
    found = guided_backprop(DenseLogits(Around()), x, masks(x) | True)
    torch.testing.assert_close(found[:, 0], -2 - (x[:, 0] < 0).float())


def test_relu6_is_a_relu_that_is_cut_off():
    x = 4 * stacks()
    mask = masks(x)
    above = Around(nn.ReLU6(inplace=True)).eval()
    apart = Around(nn.Sequential(nn.ReLU(), nn.Hardtanh(0, 6))).eval()
    apart.load_state_dict(above.state_dict())
    found = guided_backprop(DenseLogits(above), x, mask)
    assert_same(found, guided_backprop(DenseLogits(apart), x, mask), 1e-6)
    assert (found - ATTRIBUTIONS.get("saliency")(DenseLogits(above), x, mask)).abs().max() > 0.01


def test_lrp_is_input_times_gradient_on_a_network_of_relus():
    dense, x = named("unet-vgg11_bn"), stacks()
    mask = masks(x)
    expected = ATTRIBUTIONS.get("input-x-gradient")(dense, x, mask)
    assert_same(lrp(dense, x, mask), expected, 1e-3)


def test_lrp_is_no_gradient_where_an_activation_is_none():
    """Relevance goes through tanh unchanged, as Bach et al. have it: it is conserved."""
    x = stacks()
    mask = masks(x)
    network = Around(nn.Tanh())
    network.first.bias = network.last.bias = None
    dense = DenseLogits(network)
    found = lrp(dense, x, mask).double().sum((1, 2, 3))
    torch.testing.assert_close(found, difference(dense, x, mask), rtol=1e-3, atol=0)


def test_lrp_is_captums_where_that_is_right():
    x = stacks()
    mask = masks(x)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        nn.AvgPool2d(3, 1, 1),
        nn.Tanh(),
        nn.Conv2d(4, 1, 1),
    )
    dense = stirred(network)

    class Total(nn.Module):
        def __init__(self):
            super().__init__()
            self.rule = EpsilonRule()

        def forward(self, logits):
            return (logits[:, 0] * mask).sum((1, 2))

    expected = captum.LRP(nn.Sequential(network, Total())).attribute(x.clone().requires_grad_())
    assert_same(lrp(dense, x, mask), expected.detach(), 1e-4)
    assert (expected - ATTRIBUTIONS.get("input-x-gradient")(dense, x, mask)).abs().max() > 0.01


REFUSED = {
    "SiLU": (nn.SiLU(), "silu in between (SiLU)"),
    "GELU": (nn.GELU(), "gelu in between (GELU)"),
    "Hardswish": (nn.Hardswish(), "hardswish in between (Hardswish)"),
    "ReLU6": (nn.ReLU6(), "hardtanh in between (ReLU6)"),
    "F.relu": (Applies(F.relu), "relu in between (Applies)"),
    "clamp": (Applies(lambda x: x.clamp(min=0)), "clamp in between (Applies)"),
    "comparison": (Applies(lambda x: x * (x > 0)), "gt in between (Applies), mul in between"),
    "product": (Applies(lambda x: x * x.flip(1)), "mul in between (Applies)"),
    "softmax": (nn.Softmax(1), "_softmax in between (Softmax)"),
    "instance norm": (nn.InstanceNorm2d(4), "native_batch_norm in between (InstanceNorm2d)"),
    "group norm": (nn.GroupNorm(2, 4), "native_group_norm in between (GroupNorm)"),
}


@pytest.mark.parametrize(("between", "told"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", [deeplift, lrp])
def test_what_would_silently_be_a_plain_gradient_is_refused_by_name(method, between, told):
    x = stacks()
    with pytest.raises(UserError) as error:
        method(DenseLogits(Around(between).eval()), x, masks(x))
    assert f"is not defined on {told}" in str(error.value)


@pytest.mark.parametrize(
    ("between", "told"),
    [
        (Applies(F.relu), r"relu in between \(Applies\)"),
        (Applies(lambda x: x.clamp(min=0)), r"clamp in between \(Applies\)"),
        (Applies(lambda x: x.clamp_min(0)), r"clamp_min in between \(Applies\)"),
        (nn.SiLU(), "this network has none"),
        (nn.Identity(), "this network has none"),
    ],
)
def test_guided_backprop_refuses_a_network_whose_relus_it_cannot_see(between, told):
    x = stacks()
    with pytest.raises(UserError, match=told):
        guided_backprop(DenseLogits(Around(between)), x, masks(x))


@pytest.mark.parametrize(
    ("method", "architecture", "told"),
    [
        (deeplift, "unet-tu-test_efficientnet", "silu in encoder"),
        (deeplift, "unet-tu-mobilenetv2_100", r"hardtanh in encoder.*ReLU6"),
        (lrp, "unet-tu-test_resnet", r"add in encoder.*BasicBlock"),
        (lrp, "linknet-vgg11", "ConvTranspose2d"),
    ],
)
def test_architectures_that_a_method_does_not_cover_are_refused(method, architecture, told):
    x = stacks()
    with pytest.raises(UserError, match=told):
        method(named(architecture), x, masks(x))


@pytest.mark.parametrize(
    ("method", "refused"), [(guided_backprop, "relu in the network"), (deeplift, "convolution")]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scripted_network_has_no_modules_to_hook_and_is_refused(method, refused):
    x = stacks()
    dense = DenseLogits(torch.jit.trace(Around(nn.ReLU()).eval(), x))
    with pytest.raises(UserError, match=refused):
        method(dense, x, masks(x))


def test_layers_that_are_never_called_do_not_stand_in_the_way():
    x = stacks()
    network = Around(nn.Sequential(nn.ReLU(), nn.Identity(), nn.Sequential()))
    network.unused = nn.LSTM(2, 2)
    found = lrp(DenseLogits(network), x, masks(x))
    assert_same(
        found, ATTRIBUTIONS.get("input-x-gradient")(DenseLogits(network), x, masks(x)), 1e-4
    )


def test_network_that_is_one_module_is_explained():
    x = stacks()
    mask = masks(x)
    dense = DenseLogits(nn.Conv2d(3, 1, 3, padding=1, bias=False))
    expected = ATTRIBUTIONS.get("input-x-gradient")(dense, x, mask)
    assert_same(deeplift(dense, x, mask), expected, 1e-5)
    assert_same(lrp(dense, x, mask), expected, 1e-4)


def test_deeplift_runs_where_deterministic_algorithms_are_asked_for():
    dense = DenseLogits(create_model("unet-tu-test_resnet", "random").eval())
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 64, 64, dtype=torch.bool)
    expected = deeplift(dense, x, mask)
    torch.use_deterministic_algorithms(True)
    try:
        found = deeplift(dense, x, mask)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(found, expected)
