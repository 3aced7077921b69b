"""The weights that read the raw stack are found in every kind of network, or refused."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from stem_networks import (
    FIXED,
    LARGER,
    NETWORKS,
    Net,
    built,
    conv,
    kinds,
    normalised,
    patches,
    plain,
    sentence,
)
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from emsym.errors import UserError
from emsym.models.interventions.mirror_tied import mirror_tie
from emsym.models.stem.find import find_stem, wider_stem

pytestmark = [
    pytest.mark.numerical,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*quantiz"),
    pytest.mark.filterwarnings("ignore:.*num_features:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*global hooks:UserWarning"),
]


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv()

    def forward(self, x, y):
        return self.stem(x) + y


class Dequantising(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("packed", torch.randint(-9, 9, (4, 3, 3, 3), dtype=torch.int8))

    def forward(self, x):
        return F.conv2d(x, self.packed.float() * 0.1)


def same_parameter():
    model = Net(lambda net, x: net.a(x) + net.b(x), a=conv(), b=conv())
    model.b.weight = model.a.weight
    return model


def one_for_each():
    def run(net, x):
        return sum(layer(x[:, s : s + 1]) for s, layer in enumerate(net.layers))

    return Net(run, layers=nn.ModuleList(conv(1) for _ in range(3)))


def half_overwritten():
    def run(net, x):
        x = x.clone()
        x[:, :1] = torch.zeros_like(x[:, :1])
        return net.stem(x)

    return Net(run, stem=conv())


def quantised():
    quantization = pytest.importorskip("torch.ao.quantization")
    model = Net(lambda net, x: net.stem(patches(x)), stem=nn.Linear(48, 8))
    return quantization.quantize_dynamic(model, {nn.Linear})


def tied():
    model = plain()
    mirror_tie(model, find_stem(model))
    return model


def through(run, channels=3, **parts):
    """A convolution of what `run` makes of the stack."""
    return Net(lambda net, x: net.stem(run(net, x)), stem=conv(channels), **parts)


def weighing(run, **parts):
    """A convolution by weights that `run` computes."""
    return Net(lambda net, x: F.conv2d(x, run(net)), **parts)


def weight(*shape):
    return nn.Parameter(torch.randn(shape))


REFUSED = {
    "no weights": (nn.Identity, "no layer with weights reads the slices"),
    "input dropped": (
        lambda: through(lambda net, x: torch.zeros(1, 3, 8, 8)),
        "the network drops them",
    ),
    "mean of the slices": (
        lambda: through(lambda net, x: x.mean(1, keepdim=True), 1),
        "mixes them before its first layer",
    ),
    "difference of slices": (
        lambda: through(lambda net, x: x[:, :1] - x[:, 2:], 1),
        r"\(Net\) mixes slices by 'sub' before any weight",
    ),
    "one slice changed": (
        lambda: through(lambda net, x: torch.cat([x[:, :1] * 2, x[:, 1:]], 1)),
        r"\(Net\) changes some slices alone by 'mul'",
    ),
    "softmax": (lambda: through(lambda net, x: x.softmax(1)), r"\(Net\) passes .* '_softmax'"),
    "some slices overwritten": (
        half_overwritten,
        r"stem \(Conv2d\) sees slice 1, 2 of 0 … 2 alone",
    ),
    "some slices normalised together": (
        lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.GroupNorm(2, 12), conv(12)),
        r"1 \(GroupNorm\) normalises some slices alone together",
    ),
    "two inputs": (TwoInputs, r"does not run on one stack of 3 slices.*argument: 'y'"),
    "four channels": (lambda: nn.Sequential(conv(4)), "does not run on one stack.*4 channels"),
    "always fails": (
        lambda: Net(lambda net, x: net.stem(x).view("out\nof luck."), stem=conv()),
        "does not run on one stack",
    ),
    "no input seen yet": (
        lambda: nn.Sequential(nn.LazyConv2d(4, 3)),
        "run it on one stack first",
    ),
    "stem called twice": (
        lambda: Net(lambda net, x: net.stem(x) + net.stem(x.flip(2)), stem=conv()),
        r"stem \(Conv2d\) is shared by 2 branches",
    ),
    "parameter of two layers": (same_parameter, r"a \(Conv2d\) is shared by 2 branches"),
    "a layer for each slice": (one_for_each, r"layers\.0 \(Conv2d\) sees slice 0 of 0 … 2 alone"),
    "some slices dropped": (lambda: through(lambda net, x: x[:, :2], 2), r"sees slice 0, 1 of"),
    "convolution over slices": (
        lambda: Net(lambda net, x: net.stem(x[:, None]), stem=nn.Conv3d(1, 4, 3)),
        r"stem \(Conv3d\) sees slices along an axis that is not its input channels",
    ),
    "slices as a batch": (
        lambda: through(lambda net, x: x.flatten(0, 1)[:, None], 1),
        r"stem \(Conv2d\) sees slices along an axis that is not its input channels",
    ),
    "depthwise": (
        lambda: nn.Sequential(conv(3, 6, groups=3), conv(6)),
        r"0 \(Conv2d\) is a grouped convolution",
    ),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3)),
        r"0 \(ConvTranspose2d\) is a transposed convolution",
    ),
    "half precision": (
        lambda: plain().half(),
        r"0 \(Conv2d\) has weights in float16: .*model\.float\(\)",
    ),
    "bfloat16": (
        lambda: plain().bfloat16(),
        r"0 \(Conv2d\) has weights in bfloat16: .*model\.float\(\)",
    ),
    "dequantised": (Dequantising, r"weights in int8: treat the network before it is quantised"),
    "quantised": (quantised, r"stem \(Linear\) passes .*quantized"),
    "constants that are attributes": (
        lambda: through(
            lambda net, x: x - net.means[0], means=[torch.tensor([[[0.1]], [[0.2]], [[0.3]]])]
        ),
        r"\(Net\) meets the slices with values of their own that are neither",
    ),
    "noise": (
        lambda: through(lambda net, x: x + torch.randn_like(x)),
        r"\(Net\) meets the slices with values of their own that are neither",
    ),
    "a block that adds the raw stack to its output": (
        lambda: Net(
            lambda net, x: net.head(F.relu(net.stem(x) + x)), stem=conv(3, 3), head=conv(3, 1)
        ),
        r"\(Net\) adds to each slice values that the network computes from all of them.*"
        "or average the network's answers to each stack and to its mirror image",
    ),
    "weight norm": (
        lambda: nn.Sequential(weight_norm(conv())),
        "weight of 0 is parametrised: call torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "spectral norm": (
        lambda: nn.Sequential(spectral_norm(conv())),
        "weight of 0 is parametrised: call torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "tied already": (
        tied,
        "weight of 0 is parametrised: call torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "square matrix": (
        lambda: Net(lambda net, x: patches(x) @ net.stem, stem=weight(48, 48)),
        "multiplies by a matrix whose inputs cannot be told",
    ),
    "weights and others": (
        lambda: weighing(lambda net: net.a + net.b, a=weight(4, 3, 3, 3), b=weight(4, 3, 3, 3)),
        "computes its weights from 'b' as well",
    ),
    "weights with a low-rank part": (
        lambda: weighing(
            lambda net: net.a + (net.b @ net.c).view(4, 3, 3, 3),
            a=weight(4, 3, 3, 3),
            b=weight(4, 2),
            c=weight(2, 27),
        ),
        "computes its weights from 'b' as well",
    ),
    "weights scaled slice by slice": (
        lambda: weighing(
            lambda net: net.w / net.std.view(1, 3, 1, 1), w=weight(4, 3, 3, 3), std=torch.ones(3)
        ),
        "computes its weights from 'std' as well",
    ),
    "weights in another order": (
        lambda: weighing(lambda net: net.w.permute(3, 2, 0, 1), w=weight(3, 3, 3, 4)),
        "rearranges its weights before it uses them",
    ),
    "hypernetwork": (
        lambda: Net(lambda net, x: F.conv2d(x, x.mean() * torch.ones(4, 3, 3, 3)), stem=conv()),
        "uses weights that are not parameters",
    ),
}


@kinds({**NETWORKS, **LARGER, **FIXED})
def test_the_weights_that_read_the_stack_are_found(build, reads):
    model = built(build)
    stem = find_stem(model)
    assert [read.path for read in stem.reads] == reads
    assert stem.slices == 3
    assert stem == find_stem(model, 3)


@pytest.mark.parametrize(
    ("build", "read"),
    [
        (lambda: timm.create_model("vit_tiny_patch16_224", depth=1), "patch_embed.proj"),
        (lambda: timm.create_model("vit_small_patch14_dinov2", depth=1), "patch_embed.proj"),
        (lambda: smp.Unet("resnet18", encoder_weights=None), "encoder.conv1"),
        (lambda: smp.Unet("mobilenet_v2", encoder_weights=None), "encoder.features.0.0"),
        (lambda: smp.Unet("densenet121", encoder_weights=None), "encoder.features.conv0"),
        (lambda: smp.Segformer("mit_b0", encoder_weights=None), "encoder.patch_embed1.proj"),
        (
            lambda: smp.Unet("tu-test_efficientnet", encoder_weights=None),
            "encoder.model.conv_stem",
        ),
    ],
    ids=["vit-224", "dinov2-518", "resnet", "mobilenet", "densenet", "mit", "efficientnet"],
)
def test_the_stem_of_well_known_networks_is_found(build, read):
    assert [each.module for each in find_stem(build()).reads] == [read]


@pytest.mark.parametrize("slices", [1, 5, 9])
def test_a_network_of_other_than_three_slices_is_found(slices):
    assert find_stem(nn.Sequential(conv(slices))).slices == slices


def test_a_constant_for_each_slice_belongs_to_the_stem():
    model = normalised((1, 3, 1, 1))
    stem = find_stem(model)
    assert wider_stem(model, stem, 1).constants == stem.constants
    assert [(constant.name, constant.dim) for constant in stem.constants] == [
        ("mean", 1),
        ("std", 1),
    ]
    assert str(stem) == (
        "stem (Conv2d); mean, one value for each slice; std, one value for each slice"
    )


@pytest.mark.parametrize(("build", "told"), REFUSED.values(), ids=REFUSED)
def test_a_network_that_cannot_be_treated_is_refused_in_one_sentence(build, told):
    with pytest.raises(UserError, match=told) as caught:
        find_stem(built(build))
    sentence(caught)


@pytest.mark.parametrize("slices", [-3, 0, 2, 33])
def test_a_stack_of_no_possible_number_of_slices_is_refused(slices):
    model = plain()
    stem = find_stem(model)
    with pytest.raises(
        UserError, match=f"odd number of slices, at most 31, not {slices}"
    ) as caught:
        wider_stem(model, stem, slices)
    sentence(caught)


def test_a_network_of_volumes_is_told_without_trying_sizes():
    model = nn.Sequential(nn.Conv3d(2, 2, 3, padding=1), nn.BatchNorm3d(2))
    with pytest.raises(UserError, match="This is a 3D network"):
        find_stem(model)
