"""The stem is found by following a stack through a network, and filled and tied in any of them."""

import copy

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from timm.layers import ScaledStdConv2d, SpaceToDepth
from timm.models import ConvNeXt, SwinTransformer, VisionTransformer
from timm.models.byobnet import MobileOneBlock, RepVggBlock
from timm.models.crossvit import CrossVit
from timm.models.tresnet import TResNet
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from emsym.errors import UserError
from emsym.models.inits import INITS, InitStrategy
from emsym.models.interventions import mirror_tie
from emsym.models.stem.fill import fill_stem
from emsym.models.stem.find import find_stem, wider_stem

SIZE = 64


class Net(nn.Module):
    """A network from its forward function and its parts."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


def conv(channels=3, outputs=4, size=3, **options):
    return nn.Conv2d(channels, outputs, size, **{"padding": size // 2, **options})


def plain():
    return nn.Sequential(conv(bias=False), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 1))


def matrix(inputs, outputs):
    return nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)


def patches(x):
    """Patches of 4 × 4 as (N, patches, S · 16)."""
    return F.unfold(x, 4, stride=4).transpose(1, 2)


def with_rows(x):
    """The stack, and a channel that tells the row."""
    rows = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype, device=x.device)
    return torch.cat([x, rows.view(1, 1, -1, 1).expand_as(x[:, :1])], 1)


def bright(net, x):
    if x.max() > 3:
        x = x / 255
    return net.stem(x)


def cached(net, x):
    if net.grid is None:
        net.grid = torch.ones(x.shape[2:], dtype=x.dtype, device=x.device)
    return net.stem(x * net.grid)


def mixed_precision(net, x):
    with torch.autocast("cpu", torch.bfloat16):
        return net.stem(x)


def normalised(shape):
    values = torch.tensor([[0.4, 0.5, 0.6], [0.2, 0.3, 0.1]]).view(2, *shape)

    def run(net, x):
        tail = (..., None, None) if len(shape) == 1 else ...
        return net.stem((x - net.mean[tail]) / net.std[tail])

    return Net(run, stem=conv(), mean=values[0].clone(), std=values[1].clone())


def in_a_bigger_tensor(net, x):
    wide = x.new_zeros(x.shape[0], 4, *x.shape[2:])
    wide[:, :3] = x
    return net.stem(wide)


def used_again():
    """Its second layer comes twice; only the first reads the stack."""
    inner = conv(4)
    return nn.Sequential(conv(), inner, nn.ReLU(), inner)


def crossvit():
    """Its second branch sees the stack at three quarters of the size."""
    return CrossVit(
        img_size=SIZE,
        img_scale=(1.0, 0.75),
        patch_size=(8, 16),
        embed_dim=(8, 16),
        depth=((1, 1, 0),),
        num_heads=(2, 2),
        mlp_ratio=(2, 2, 1),
        num_classes=2,
    )


def swin():
    return SwinTransformer(SIZE, 4, embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4)


NETWORKS = {
    "a convolution": (plain, ["0.weight"]),
    "a convolution defined last": (
        lambda: Net(lambda net, x: net.head(net.stem(x)), head=conv(4), stem=conv()),
        ["stem.weight"],
    ),
    "padding by reflection": (lambda: nn.Sequential(conv(padding_mode="reflect")), ["0.weight"]),
    "padding round": (lambda: nn.Sequential(conv(padding_mode="circular")), ["0.weight"]),
    "weights standardised": (lambda: nn.Sequential(ScaledStdConv2d(3, 4, 3)), ["0.weight"]),
    "float64": (lambda: plain().double(), ["0.weight"]),
    "ViT": (
        lambda: VisionTransformer(SIZE, 16, embed_dim=16, depth=1, num_heads=2),
        ["patch_embed.proj.weight"],
    ),
    "two convolutions": (
        lambda: Net(lambda net, x: net.a(x) + net.b(x), a=conv(), b=conv(size=1)),
        ["a.weight", "b.weight"],
    ),
    "MobileOne": (
        lambda: MobileOneBlock(3, 8, stride=2),
        ["conv_scale.conv.weight", "conv_kxk.0.conv.weight"],
    ),
    "RepVGG": (lambda: RepVggBlock(3, 8), ["conv_1x1.conv.weight", "conv_kxk.conv.weight"]),
    "CrossViT": (crossvit, ["patch_embed.0.proj.weight", "patch_embed.1.proj.weight"]),
    "a late skip": (
        lambda: Net(lambda net, x: net.b(torch.cat([net.a(x), x], 1)), a=conv(), b=conv(7)),
        ["a.weight", "b.weight"],
    ),
    "space to depth": (lambda: nn.Sequential(nn.PixelUnshuffle(2), conv(12)), ["1.weight"]),
    "space to depth by timm": (lambda: nn.Sequential(SpaceToDepth(4), conv(48)), ["1.weight"]),
    "patches by a Linear": (
        lambda: Net(lambda net, x: net.stem(patches(x)), stem=nn.Linear(48, 8)),
        ["stem.weight"],
    ),
    "patches by a matrix": (
        lambda: Net(lambda net, x: patches(x) @ net.stem, stem=matrix(48, 8)),
        ["stem"],
    ),
    "patches by einsum": (
        lambda: Net(lambda net, x: torch.einsum("npi,oi->npo", patches(x), net.w), w=matrix(8, 48)),
        ["w"],
    ),
    "normalised by buffers (3,)": (lambda: normalised((3,)), ["stem.weight"]),
    "normalised by buffers (1, 3, 1, 1)": (lambda: normalised((1, 3, 1, 1)), ["stem.weight"]),
    "normalised by batch": (lambda: nn.Sequential(nn.BatchNorm2d(3), conv()), ["1.weight"]),
    "normalised by instance": (lambda: nn.Sequential(nn.InstanceNorm2d(3), conv()), ["1.weight"]),
    "normalised by group": (lambda: nn.Sequential(nn.GroupNorm(1, 3), conv()), ["1.weight"]),
    "normalised by the whole stack": (
        lambda: Net(lambda net, x: net.stem((x - x.mean()) / x.std()), stem=conv()),
        ["stem.weight"],
    ),
    "channels turned round": (
        lambda: Net(lambda net, x: net.stem(x.flip(1)), stem=conv()),
        ["stem.weight"],
    ),
    "coordinates beside the slices": (
        lambda: Net(lambda net, x: net.stem(with_rows(x)), stem=conv(4)),
        ["stem.weight"],
    ),
    "values decide": (lambda: Net(bright, stem=conv()), ["stem.weight"]),
    "a cache": (lambda: Net(cached, stem=conv(), grid=None), ["stem.weight"]),
    "mixed precision": (lambda: Net(mixed_precision, stem=conv()), ["stem.weight"]),
    "compiled": (lambda: torch.compile(plain(), backend="eager"), ["0.weight"]),
    "compiled in part": (
        lambda: nn.Sequential(torch.compile(conv(), backend="eager"), conv(4)),
        ["0._orig_mod.weight"],
    ),
    "DataParallel": (lambda: nn.DataParallel(plain()), ["module.0.weight"]),
    "a module called half": (
        lambda: Net(lambda net, x: net._modules["half"](x), half=conv()),
        ["half.weight"],
    ),
    "a module called weight": (
        lambda: Net(lambda net, x: net.weight(x), weight=conv()),
        ["weight.weight"],
    ),
    "a layer used again": (used_again, ["0.weight"]),
}
"""Networks by their kind, and the weights that read the stack."""

LARGER = {  # not trained here
    "Swin": (swin, ["patch_embed.proj.weight"]),
    "ConvNeXt": (lambda: ConvNeXt(depths=(1,) * 4, dims=(8,) * 4), ["stem.0.weight"]),
    "TResNet": (lambda: TResNet([1, 1, 1, 1], width_factor=0.25), ["body.conv1.conv.weight"]),
    "an encoder of smp": (
        lambda: smp.Unet("tu-test_resnet", encoder_weights=None),
        ["encoder.model.conv1.0.weight"],
    ),
}

FIXED = {  # to three slices
    "channels by their numbers": (
        lambda: Net(lambda net, x: net.stem(x[:, [2, 1, 0]]), stem=conv()),
        ["stem.weight"],
    ),
    "written into a bigger tensor": (
        lambda: Net(in_a_bigger_tensor, stem=conv(4)),
        ["stem.weight"],
    ),
    "each normalised by group": (
        lambda: Net(lambda net, x: net.stem(net.norm(x)), norm=nn.GroupNorm(3, 3), stem=conv()),
        ["stem.weight"],
    ),
    "normalised by layer": (
        lambda: Net(
            lambda net, x: net.stem(net.norm(x)), norm=nn.LayerNorm([3, SIZE, SIZE]), stem=conv()
        ),
        ["stem.weight"],
    ),
    "the stem used again": (lambda: (lambda c: nn.Sequential(c, c))(conv(3, 3)), ["0.weight"]),
}


def kinds(networks):
    return pytest.mark.parametrize(("build", "reads"), networks.values(), ids=networks)


def built(build):
    torch.manual_seed(0)
    return build()


def stacks(slices=3, count=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, slices, SIZE, SIZE, generator=generator, dtype=dtype)


def prediction(model, x):
    y = model(x)
    return y[0] if isinstance(y, tuple) else y


def asymmetry(model, slices=3):
    """max|f(x) − f(mirror x)| over max|f(x)|, in float64, for which autocast does nothing."""
    model = copy.deepcopy(model).double().eval()
    x = stacks(slices, dtype=torch.float64)
    with torch.no_grad():
        one, other = prediction(model, x), prediction(model, x.flip(1))
    return float((one - other).abs().max() / one.abs().max())


def fill(model, name, slices):
    return fill_stem(model, find_stem(model), name, INITS.get(name), slices)


def sentence(caught):
    """The message of an error, which must be one plain sentence."""
    told = str(caught.value)
    assert "\n" not in told
    assert told.endswith(".")
    assert not told.endswith("..")
    return told


# --- every kind of network ------------------------------------------------------------------------


@kinds({**NETWORKS, **LARGER, **FIXED})
def test_the_weights_that_read_the_stack_are_found(build, reads):
    model = built(build)
    stem = find_stem(model)
    assert [read.path for read in stem.reads] == reads
    assert stem.slices == 3
    assert stem == find_stem(model, 3)


@kinds({**NETWORKS, **FIXED})
@pytest.mark.parametrize("name", ["uniform-green", "mirror"])
def test_a_symmetric_fill_makes_a_symmetric_network(build, reads, name):
    model = built(build)
    assert asymmetry(model) > 1e-6
    fill(model, name, 3)
    assert asymmetry(model) < 1e-10


@kinds({**NETWORKS, **LARGER})
@pytest.mark.parametrize("slices", [1, 5])
def test_any_network_can_be_filled_for_another_number_of_slices(build, reads, slices):
    model = built(build)
    stem = fill(model, "mirror", slices)
    assert stem.slices == slices
    assert [read.path for read in stem.reads] == reads
    assert asymmetry(model, slices) < 1e-10
    assert find_stem(model, slices).reads == stem.reads


@kinds({**NETWORKS, **FIXED})
def test_a_tied_network_is_symmetric_before_and_after_training(build, reads):
    model = built(build)
    mirror_tie(model, find_stem(model))
    assert asymmetry(model) < 1e-10
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    dtype = next(model.parameters()).dtype
    for seed in range(20):
        torch.manual_seed(seed)
        x = torch.rand(2, 3, SIZE, SIZE) + torch.tensor([0, 1, 2]).view(1, 3, 1, 1)
        optimizer.zero_grad()
        y = prediction(model.train(), x.to(dtype))
        F.mse_loss(y.float(), torch.rand(y.shape)).backward()
        optimizer.step()
    trained = dict(model.named_parameters())
    assert all(not torch.equal(before[name], trained[name]) for name in before if "orig" in name)
    assert asymmetry(model) < 1e-10


@kinds(FIXED)
def test_a_network_that_counts_on_three_slices_elsewhere_says_so(build, reads):
    model = built(build)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match="cannot be made to read 5 slices") as caught:
        fill(model, "mirror", 5)
    assert f"({reads[0].removesuffix('.weight')} (Conv2d)" in sentence(caught)
    assert find_stem(model).slices == 3
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


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


def test_each_slice_gets_the_mean_of_the_constants_and_rgb_keeps_them():
    model = normalised((3,))
    fill(model, "rgb", 3)
    assert torch.equal(model.mean, torch.tensor([0.4, 0.5, 0.6]))
    fill(model, "uniform-green", 5)
    torch.testing.assert_close(model.mean, torch.full((5,), 0.5))
    torch.testing.assert_close(model.std, torch.full((5,), 0.2))


# --- TorchScript ----------------------------------------------------------------------------------

SCRIPTED = {
    "script": lambda: torch.jit.script(plain()),
    "trace": lambda: torch.jit.trace(plain().eval(), torch.zeros(1, 3, 8, 8)),
    "in part": lambda: nn.Sequential(torch.jit.script(conv()), nn.ReLU()),
}
scripted = pytest.mark.parametrize("build", SCRIPTED.values(), ids=SCRIPTED)
pytestmark = [
    pytest.mark.numerical,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*quantiz"),
    pytest.mark.filterwarnings("ignore:.*num_features:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*global hooks:UserWarning"),
]


@scripted
def test_torchscript_is_filled_for_as_many_slices_as_it_has(build):
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    find_stem(model)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert [module.training for module in model.modules()] == modes
    fill(model, "uniform-green", 3)
    x = stacks()
    torch.testing.assert_close(model.eval()(x), model(x.flip(1)))
    assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])


@scripted
def test_torchscript_of_another_width_or_tied_is_refused_untouched(build):
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"is TorchScript.*treat the network"):
        fill(model, "uniform-green", 5)
    with pytest.raises(UserError, match="is TorchScript"):
        mirror_tie(model, find_stem(model))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


# --- networks that cannot be treated --------------------------------------------------------------


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


# --- filling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3, 5, 9, 31])
def test_filled_network_reads_that_many_slices_with_the_strategys_weights(slices):
    model = plain()
    rgb = model[0].weight.detach().clone()
    fill(model, "mirror", slices)
    assert torch.equal(model[0].weight, INITS.get("mirror").fill(rgb, slices))
    assert isinstance(model[0].weight, nn.Parameter)
    assert model[0].in_channels == slices
    assert model(torch.zeros(2, slices, 8, 8)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("slices", [3, 5])
def test_a_frozen_stem_stays_frozen(slices, trained):
    model = plain()
    model[0].weight.requires_grad_(trained)
    fill(model, "uniform-green", slices)
    assert model[0].weight.requires_grad == trained


def test_filling_changes_nothing_but_the_stems_weight():
    model = smp.Unet("tu-test_resnet", encoder_weights=None).train()
    before = copy.deepcopy(model.state_dict())
    fill(model, "uniform-green", 5)
    changed = {
        name
        for name, value in model.state_dict().items()
        if value.shape != before[name].shape or not torch.equal(value, before[name])
    }
    assert changed == {"encoder.model.conv1.0.weight"}
    assert model.training


@kinds(NETWORKS)
def test_rgb_for_three_slices_is_the_same_function(build, reads):
    model = built(build).eval()
    x = stacks(dtype=next(model.parameters()).dtype)
    with torch.no_grad():
        before = prediction(model, x)
        fill(model, "rgb", 3)
        assert torch.equal(prediction(model, x), before)


def test_uniform_slices_of_patches_answer_a_permuted_stack_alike():
    model = Net(lambda net, x: net.stem(patches(x)), stem=nn.Linear(48, 8))
    fill(model, "uniform-green", 3)
    x = stacks()
    torch.testing.assert_close(model(x), model(x[:, [1, 2, 0]]))


def test_what_reads_no_slice_is_kept():
    model = Net(lambda net, x: net.stem(with_rows(x)), stem=conv(4))
    rows = model.stem.weight[:, 3].detach().clone()
    fill(model, "uniform-green", 5)
    assert model.stem.weight.shape == (4, 6, 3, 3)
    assert torch.equal(model.stem.weight[:, 5], rows)


def test_channels_turned_round_get_the_strategys_planes_in_the_order_of_the_slices():
    model = Net(lambda net, x: net.stem(x.flip(1)), stem=conv())
    last = model.stem.weight[:, 2].detach().clone()  # what reads the first slice
    fill(model, "uniform-red", 3)
    assert torch.equal(model.stem.weight[:, 0], last)


# --- strategies that break their promise ----------------------------------------------------------


def wide(rgb, slices):
    return rgb[:, :1].repeat(1, slices, 1, 1)


def zeroing(rgb, slices):
    rgb.zero_()
    return wide(rgb, slices)


def raising(rgb, slices):
    raise ValueError("out\nof luck.")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda rgb, slices: rgb, r"gives \(4, 3, 3, 3\) torch.float32 instead of \(4, 5, 3, 3\)"),
        (lambda rgb, slices: wide(rgb, slices).double(), "gives .*float64 instead of"),
        (lambda rgb, slices: wide(rgb, slices) * float("nan"), "gives .*not finite"),
        (lambda rgb, slices: wide(rgb, slices) / 0, "gives .*not finite"),
        (lambda rgb, slices: wide(rgb, slices).numpy(), "gives ndarray"),
        (lambda rgb, slices: None, "gives NoneType"),
        (zeroing, "changes the weights that it is given: .*clone"),
        (lambda rgb, slices: rgb[:, 99], r"fails: IndexError: .*test_stem\.py:\d+"),
        (raising, r"fails: ValueError: out of luck \(.*test_stem\.py:\d+\)"),
    ],
    ids=["shape", "dtype", "nan", "infinite", "numpy", "none", "input", "index", "raises"],
)
@pytest.mark.parametrize("gain", ["copy", "preserve"])
def test_strategy_that_breaks_its_promise_is_named_and_changes_nothing(function, told, gain):
    model = plain()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=f"The init 'mine' {told}") as caught:
        fill_stem(model, find_stem(model), "mine", InitStrategy(function, gain=gain), 5)
    sentence(caught)
    assert model[0].in_channels == 3
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
