"""Init strategies keep their definitions for every shape of stem and number of slices."""

import math
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from timm.models import adapt_input_conv
from torch import nn

from emsym.errors import UserError
from emsym.models.inits import (
    INITS,
    ORDERS,
    InitStrategy,
    list_inits,
    parse_init,
    register_init,
)
from emsym.models.stem.fill import fill_stem, filled_tensors
from emsym.models.stem.find import find_stem
from emsym.models.stem.slice_tracer import Read
from emsym.models.stem.stem import Stem

COPY = (
    "average",
    "bgr",
    "brg",
    "centre-only",
    "difference",
    "gaussian",
    "gbr",
    "grb",
    "mean-rescale",
    "mirror",
    "random",
    "random-stem",
    "rbg",
    "rgb",
    "smp",
    "timm",
    "triangular",
    "uniform-blue",
    "uniform-green",
    "uniform-luminance",
    "uniform-mean",
    "uniform-red",
    "uniform-svd",
    "zero-fill",
)
SYMMETRIC = (
    *("average", "centre-only", "difference", "gaussian", "mean-rescale", "mirror"),
    *("mirror-preserve", "triangular"),
)
SPACING_NM = 30.0
PRESERVE = tuple(f"{name}-preserve" for name in COPY if name != "random")
OWN = sorted(COPY + PRESERVE)
UNIFORM = [name for name in OWN if name.startswith("uniform-")]
SLICES = (1, 3, 5, 7, 9)


@st.composite
def stems(draw):
    """W, (O, 3, kH, kW), with a filter of zeros now and then."""
    shape = (draw(st.integers(1, 6)), 3, draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e3]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    rgb = scale * torch.randn(shape, generator=generator, dtype=dtype)
    rgb[draw(st.integers(0, 5)) :] *= draw(st.sampled_from([0, 1, 1, 1]))
    return rgb


def weights(outputs=4, size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, 3, size, size, generator=generator)


def _strategy(name):
    return INITS.get(name).at(SPACING_NM, name)


def fill(name, rgb, slices):
    """What becomes of a convolution's weights, the gain included."""
    if slices == 1 and name.removesuffix("-preserve") in ORDERS:
        assume(False)  # an order means nothing to one slice

    def stem(count):
        return Stem(count, (Read("", "Conv2d", "weight", 1, tuple(range(count))),))

    return filled_tensors({"weight": rgb}, stem(3), stem(slices), name, _strategy(name))["weight"]


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(INITS, "_entries", dict(INITS._entries))


# --- promises of every strategy -------------------------------------------------------------------


def test_the_documented_strategies_are_listed():
    assert set(OWN) <= set(list_inits())
    assert list_inits("uniform-*") == UNIFORM


@pytest.mark.parametrize("name", OWN)
@settings(max_examples=25, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_shape_and_dtype_are_kept_and_values_finite(name, rgb, slices):
    before = rgb.clone()
    made = fill(name, rgb, slices)
    assert made.shape == (rgb.shape[0], slices, *rgb.shape[2:])
    assert made.dtype == rgb.dtype
    assert made.isfinite().all()
    assert torch.equal(rgb, before)


@pytest.mark.parametrize("name", COPY)
@settings(max_examples=10, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_the_function_itself_leaves_its_input_alone(name, rgb, slices):
    before = rgb.clone()
    INITS.get(name).at(SPACING_NM, name).fill(rgb, slices)
    assert torch.equal(rgb, before)


@pytest.mark.parametrize("name", [*SYMMETRIC, *UNIFORM])
@settings(max_examples=20, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_slices_at_equal_distance_get_equal_weights(name, rgb, slices):
    made = fill(name, rgb, slices)
    assert torch.equal(made, made.flip(1))


@pytest.mark.parametrize("name", UNIFORM)
@settings(max_examples=20, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_uniform_gives_every_slice_the_same(name, rgb, slices):
    made = fill(name, rgb, slices)
    assert torch.equal(made, made[:, :1].expand_as(made))


@pytest.mark.parametrize("name", PRESERVE)
@settings(max_examples=20, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_preserve_keeps_the_norm_of_each_filter(name, rgb, slices):
    norms = fill(name, rgb, slices).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, rgb.flatten(1).norm(dim=1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", PRESERVE)
def test_preserve_only_scales_whole_filters(name):
    rgb = weights()
    torch.manual_seed(0)
    plain = fill(name.removesuffix("-preserve"), rgb, 5)
    torch.manual_seed(0)
    scaled = fill(name, rgb, 5)
    gain = scaled.flatten(1).norm(dim=1) / plain.flatten(1).norm(dim=1)
    torch.testing.assert_close(scaled, plain * gain.view(-1, 1, 1, 1))


# --- definitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", SLICES)
@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("uniform-red", (1, 0, 0)),
        ("uniform-green", (0, 1, 0)),
        ("uniform-blue", (0, 0, 1)),
        ("uniform-mean", (1 / 3, 1 / 3, 1 / 3)),
        ("uniform-luminance", (0.299, 0.587, 0.114)),
    ],
)
def test_uniform_is_its_mix_of_the_colour_planes(name, share, slices):
    rgb = weights()
    plane = sum(part * rgb[:, c] for c, part in enumerate(share))
    for each in fill(name, rgb, slices).unbind(1):
        torch.testing.assert_close(each, plane, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("slices", SLICES)
def test_mirror_has_green_in_the_centre_and_the_others_mean_elsewhere(slices):
    rgb = weights()
    made = fill("mirror", rgb, slices)
    for s in range(slices):
        plane = rgb[:, 1] if s == slices // 2 else (rgb[:, 0] + rgb[:, 2]) / 2
        assert torch.equal(made[:, s], plane)


@pytest.mark.parametrize(
    ("name", "slices", "gain"),
    [
        ("uniform-mean", 3, 1),
        *((name, s, 1) for name in ("mean-rescale", "centre-only", "difference") for s in SLICES),
        *(("zero-fill", s, 1) for s in (1, 3, 9)),
        *((name, s, 1) for name in ("bgr", "grb") for s in (3, 9)),
        *(("average", s, 1 / 3) for s in SLICES),
    ],
)
@settings(max_examples=10, deadline=None)
@given(rgb=stems(), seed=st.integers(0, 99))
def test_identical_slices_are_answered_as_by_rgb(name, slices, gain, rgb, seed):
    """Or as by the mean of its planes, which is a third of that."""
    generator = torch.Generator().manual_seed(seed)
    section = torch.randn(1, 1, 9, 9, generator=generator, dtype=rgb.dtype)
    before = nn.functional.conv2d(section.expand(1, 3, 9, 9), rgb)
    after = nn.functional.conv2d(section.expand(1, slices, 9, 9), fill(name, rgb, slices))
    scale = float(rgb.abs().sum((1, 2, 3)).max() * section.abs().max())
    torch.testing.assert_close(after, gain * before, rtol=0, atol=4e-6 * scale)


@pytest.mark.parametrize("order", ["rbg", "grb", "gbr", "brg", "bgr"])
def test_an_order_of_colours_moves_the_planes_and_changes_nothing_else(order):
    rgb = weights()
    made = fill(order, rgb, 3)
    for place, letter in enumerate(order):
        assert torch.equal(made[:, place], rgb[:, "rgb".index(letter)])
    torch.testing.assert_close(fill(order, rgb, 5), fill("rgb", made, 5))


@settings(max_examples=20, deadline=None)
@given(rgb=stems())
def test_the_best_pattern_is_that_of_a_filter_that_has_but_one(rgb):
    """Up to a sign it is what three equal planes hold, and no other pattern fits better."""
    plane = rgb[:, 1]
    equal = plane.unsqueeze(1).expand_as(rgb)
    scale = float(rgb.abs().max()) + 1e-12
    torch.testing.assert_close(fill("uniform-svd", equal, 3), equal, rtol=0, atol=1e-5 * scale)
    opponent = torch.stack([plane, plane * 0, -plane], 1)
    made = fill("uniform-svd", opponent, 3)
    kept = made.flatten(1).norm(dim=1)
    torch.testing.assert_close(kept, opponent.flatten(1).norm(dim=1), rtol=1e-5, atol=1e-9)
    best, mean = (
        fill(name, rgb, 3).flatten(1).norm(dim=1) for name in ("uniform-svd", "uniform-mean")
    )
    assert (best >= mean * (1 - 1e-5)).all()


def test_fastai_fills_extra_channels_with_zeros():
    rgb = weights()
    made = fill("zero-fill", rgb, 5)
    assert torch.equal(made[:, :3], rgb)
    assert not made[:, 3:].any()


def test_the_centre_alone_is_read():
    made = fill("centre-only", weights(), 5)
    assert torch.equal(made[:, 2], weights().sum(1))
    assert not made[:, [0, 1, 3, 4]].any()


@pytest.mark.parametrize("name", ["rgb", "timm", "smp"])
@given(rgb=stems())
@settings(max_examples=20, deadline=None)
def test_the_baselines_are_the_identity_for_three_slices(name, rgb):
    assert torch.equal(fill(name, rgb, 3), rgb)


@pytest.mark.parametrize("slices", SLICES)
@pytest.mark.parametrize("name", ["rgb", "timm"])
def test_baseline_is_what_timm_loads_for_another_number_of_channels(tmp_path, name, slices):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    file = {"file": str(tmp_path / "weights.pth")}
    theirs = timm.create_model(
        "test_resnet", pretrained=True, pretrained_cfg_overlay=file, in_chans=slices
    )
    fill_stem(model, find_stem(model), name, _strategy(name), slices)
    torch.testing.assert_close(model.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("slices", SLICES)
@pytest.mark.parametrize("name", ["rgb", "timm"])
def test_baseline_is_what_timms_function_gives(name, slices):
    rgb = weights()
    torch.testing.assert_close(fill(name, rgb, slices), adapt_input_conv(slices, rgb.clone()))


@pytest.mark.parametrize("slices", SLICES)
@pytest.mark.parametrize("name", ["rgb", "smp"])
def test_baseline_is_what_segmentation_models_pytorch_does(name, slices):
    rgb = weights()
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    model[0].weight = nn.Parameter(rgb.clone())
    if slices != 3:  # where the library calls it
        patch_first_conv(model, slices, pretrained=True)
    torch.testing.assert_close(fill(name, rgb, slices), model[0].weight.detach())


@pytest.mark.parametrize("name", ["timm", "smp"])
@settings(max_examples=20, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_the_libraries_agree_with_rgb_today(name, rgb, slices):
    ours = fill("rgb", rgb, slices)
    atol = 1e-6 * float(rgb.abs().max())  # sums and factors are rounded in another order
    torch.testing.assert_close(fill(name, rgb, slices), ours, rtol=1e-5, atol=atol)


def test_a_baseline_draws_no_random_numbers():
    state = torch.get_rng_state()
    for name in ("rgb", "timm", "smp", "mirror"):
        fill(name, weights(), 5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["random", "random-stem"])
def test_random_ignores_the_pretrained_weights_and_has_kaiming_spread(name):
    rgb = weights(outputs=64, size=7)
    torch.manual_seed(0)
    first = fill(name, rgb, 5)
    torch.manual_seed(0)
    assert torch.equal(fill(name, 100 * rgb, 5), first)
    assert not torch.equal(fill(name, rgb, 5), first)
    assert first.std().item() == pytest.approx((2 / (64 * 7 * 7)) ** 0.5, rel=0.03)
    assert first.mean().item() == pytest.approx(0, abs=1e-3)


def test_an_order_of_colours_means_nothing_to_one_slice():
    model = nn.Conv2d(3, 4, 3)
    with pytest.raises(UserError, match="means nothing to a single slice: take 'rgb'"):
        fill_stem(model, find_stem(model), "bgr", INITS.get("bgr"), 1)


@pytest.mark.parametrize(("name", "side"), [("gaussian", math.exp(-0.5)), ("triangular", 0.5)])
def test_widths_are_in_nanometres(name, side):
    strategy, rgb = INITS.get(name), weights()
    at_width = strategy.at(50.0, name).fill(rgb, 3)
    torch.testing.assert_close(at_width[:, 0], side * at_width[:, 1])
    torch.testing.assert_close(at_width.sum(1), rgb.sum(1))  # equal slices are answered as RGB were
    thin = strategy.at(0.01, name).fill(rgb, 5)
    torch.testing.assert_close(thin[:, 0], thin[:, 2], rtol=1e-3, atol=1e-5)
    far = strategy.at(1000.0, name).fill(rgb, 5)
    torch.testing.assert_close(far[:, 2], rgb.sum(1))
    assert far[:, [0, 1, 3, 4]].abs().max() < 1e-20
    with pytest.raises(UserError, match="how far sections are apart: give that in nm"):
        strategy.at(None, name)
    for wrong in (0, -3.0, math.nan, math.inf, "a"):
        with pytest.raises(UserError, match="nm"):
            strategy.at(wrong, name)


def test_only_random_gives_up_the_pretrained_body():
    assert [name for name in OWN if not INITS.get(name).pretrained] == ["random"]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "strategy", "gain", "interventions"),
    [
        ("rgb", "rgb", "copy", ()),
        ("uniform-green-preserve", "uniform-green-preserve", "preserve", ()),
        ("rgb+mirror-tied", "rgb", "copy", ("mirror-tied",)),
        ("random+zflip-augment", "random", "copy", ("zflip-augment",)),
        (
            "mirror-preserve+mirror-tied+zflip-augment",
            "mirror-preserve",
            "preserve",
            ("mirror-tied", "zflip-augment"),
        ),
    ],
)
def test_a_name_is_a_strategy_with_interventions(name, strategy, gain, interventions):
    chosen = parse_init(name)
    assert chosen.name == name
    assert chosen.strategy_name == strategy
    assert chosen.strategy is INITS.get(strategy)
    assert chosen.strategy.gain == gain
    assert chosen.interventions == interventions


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("uniform-gren", "'uniform-green'"),
        ("uniform-green-preserved", "'uniform-green-preserve'"),
        ("random-preserve", "no init 'random-preserve'"),
        ("", "no init ''"),
        ("+mirror-tied", "no init ''"),
        ("mirror-tied", "no init 'mirror-tied'"),
        ("rgb+", "no intervention ''"),
        ("rgb+tied", "no intervention 'tied'; did you mean 'mirror-tied'"),
        ("rgb +mirror-tied", "no init 'rgb '"),
        ("rgb+mirror-tied-preserve", "no intervention 'mirror-tied-preserve'"),
        ("rgb+zflip-augment+mirror-tied", r"'rgb\+mirror-tied\+zflip-augment'"),
        ("rgb+mirror-tied+mirror-tied", r"as 'rgb\+mirror-tied'"),
    ],
)
def test_a_wrong_name_gets_one_sentence_with_the_right_one(name, told):
    with pytest.raises(UserError, match=told) as caught:
        parse_init(name)
    assert "\n" not in str(caught.value)


# --- a strategy of one's own ----------------------------------------------------------------------


@pytest.mark.usefixtures("registry")
def test_registered_function_is_found_and_stays_a_function():
    @register_init("own-red", pretrained=False)
    def own(rgb, slices):
        """The red plane.

        More about it.
        """
        return rgb[:, :1].repeat(1, slices, 1, 1)

    assert INITS.get("own-red") == InitStrategy(own, pretrained=False)
    assert list_inits("own-*") == ["own-red"]  # what starts from scratch has no norms to preserve
    assert INITS.summary("own-red") == "The red plane."


@pytest.mark.usefixtures("registry")
def test_ones_own_strategy_has_a_preserve_variant_and_interventions():
    @register_init("own-red")
    def own(rgb, slices):
        """The red plane."""
        return rgb[:, :1].repeat(1, slices, 1, 1)

    chosen = parse_init("own-red-preserve+mirror-tied")
    assert chosen.strategy == InitStrategy(own, gain="preserve")
    assert chosen.interventions == ("mirror-tied",)
    assert "own-red" in INITS.summary("own-red-preserve")
    rgb = weights()
    made = fill("own-red-preserve", rgb, 5)
    torch.testing.assert_close(made.flatten(1).norm(dim=1), rgb.flatten(1).norm(dim=1))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", ["mirror", "uniform-green-preserve"])
def test_name_taken_twice_shows_both_places(name):
    def own(rgb, slices):
        return rgb

    with pytest.raises(UserError, match="registered twice") as caught:
        register_init(name)(own)
    places = str(caught.value)
    assert "inits.py:" in places
    assert f"{Path(__file__).name}:" in places
    assert INITS.get(name).fill is not own


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"no init 'uniform-gren'.*'uniform-green'"):
        INITS.get("uniform-gren")


def test_a_decorator_without_a_name_says_how_to_write_it():
    with pytest.raises(UserError, match="write @register_init"):
        register_init(lambda rgb, slices: rgb)


@pytest.mark.real
def test_the_best_pattern_keeps_what_the_mean_of_a_real_stem_loses(shared: Path):
    """Colour-opponent filters cancel in the mean of their planes."""
    rgb = load_file(shared / "weights/mobilenetv2_100.safetensors")["conv_stem.weight"]

    def kept(name):
        return float(fill(name, rgb, 3).square().sum() / rgb.square().sum())

    assert kept("uniform-mean") == pytest.approx(0.58, abs=0.01)
    assert kept("uniform-svd") == pytest.approx(0.94, abs=0.01)
