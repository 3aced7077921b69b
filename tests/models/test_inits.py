"""Init strategies keep their definitions for every shape of stem and number of slices."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from timm.models import adapt_input_conv
from torch import nn

from emsym.errors import UserError
from emsym.models.inits import INITS, list_inits, register_init

OWN = (
    "mirror",
    "random",
    "random-stem",
    "rgb",
    "uniform-blue",
    "uniform-green",
    "uniform-luminance",
    "uniform-mean",
    "uniform-red",
)
UNIFORM = [name for name in OWN if name.startswith("uniform-")]
SLICES = (1, 3, 5, 7, 9)


@st.composite
def stems(draw, dtypes=(torch.float32, torch.float64)):
    """W, (O, 3, kH, kW)."""
    shape = (draw(st.integers(1, 6)), 3, draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e3]))
    return scale * torch.randn(shape, generator=generator, dtype=draw(st.sampled_from(dtypes)))


def weights(outputs=4, size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, 3, size, size, generator=generator)


def fill(name, rgb, slices):
    return INITS.get(name).fill(rgb, slices)


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
@given(rgb=stems((torch.float16, torch.float32, torch.float64)), slices=st.sampled_from(SLICES))
def test_shape_and_dtype_are_kept_and_values_finite(name, rgb, slices):
    before = rgb.clone()
    filled = fill(name, rgb, slices)
    assert filled.shape == (rgb.shape[0], slices, *rgb.shape[2:])
    assert filled.dtype == rgb.dtype
    if rgb.dtype != torch.float16:  # whose range ends at 65504
        assert filled.isfinite().all()
    assert torch.equal(rgb, before)


@pytest.mark.parametrize("name", ["mirror", *UNIFORM])
@settings(max_examples=20, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_slices_at_equal_distance_get_equal_weights(name, rgb, slices):
    filled = fill(name, rgb, slices)
    assert torch.equal(filled, filled.flip(1))


@pytest.mark.parametrize("name", UNIFORM)
@settings(max_examples=20, deadline=None)
@given(rgb=stems(), slices=st.sampled_from(SLICES))
def test_uniform_gives_every_slice_the_same(name, rgb, slices):
    filled = fill(name, rgb, slices)
    assert torch.equal(filled, filled[:, :1].expand_as(filled))


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
    for filled in fill(name, rgb, slices).unbind(1):
        torch.testing.assert_close(filled, plane, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("slices", SLICES)
def test_mirror_has_green_in_the_centre_and_the_others_mean_elsewhere(slices):
    rgb = weights()
    filled = fill("mirror", rgb, slices)
    for s in range(slices):
        plane = rgb[:, 1] if s == slices // 2 else (rgb[:, 0] + rgb[:, 2]) / 2
        assert torch.equal(filled[:, s], plane)


@settings(max_examples=30, deadline=None)
@given(rgb=stems(), seed=st.integers(0, 99))
def test_uniform_mean_answers_identical_slices_as_rgb_did(rgb, seed):
    generator = torch.Generator().manual_seed(seed)
    section = torch.randn(1, 1, 9, 9, generator=generator, dtype=rgb.dtype)
    stack = section.expand(1, 3, 9, 9)
    before = nn.functional.conv2d(stack, rgb)
    after = nn.functional.conv2d(stack, fill("uniform-mean", rgb, 3))
    scale = float(rgb.abs().sum((1, 2, 3)).max() * section.abs().max())
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6 * scale)


@given(rgb=stems())
@settings(max_examples=20, deadline=None)
def test_rgb_is_the_identity_for_three_slices(rgb):
    assert torch.equal(fill("rgb", rgb, 3), rgb)


@pytest.mark.parametrize("slices", SLICES)
def test_rgb_is_what_timm_does(slices):
    rgb = weights()
    torch.testing.assert_close(fill("rgb", rgb, slices), adapt_input_conv(slices, rgb.clone()))


@pytest.mark.parametrize("slices", SLICES)
def test_rgb_is_what_segmentation_models_pytorch_does(slices):
    rgb = weights()
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    model[0].weight = nn.Parameter(rgb.clone())
    if slices != 3:
        patch_first_conv(model, slices, pretrained=True)
    torch.testing.assert_close(fill("rgb", rgb, slices), model[0].weight.detach())


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


def test_only_random_gives_up_the_pretrained_body():
    assert [name for name in OWN if not INITS.get(name).pretrained] == ["random"]


# --- a strategy of one's own ----------------------------------------------------------------------


@pytest.mark.usefixtures("registry")
def test_registered_function_is_found_and_stays_a_function():
    @register_init("own-red", pretrained=False)
    def own(rgb, slices):
        """The red plane.

        More about it.
        """
        return rgb[:, :1].repeat(1, slices, 1, 1)

    assert INITS.get("own-red").fill is own
    assert not INITS.get("own-red").pretrained
    assert "own-red" in list_inits("own-*")
    assert INITS.summary("own-red") == "The red plane."


@pytest.mark.usefixtures("registry")
def test_name_taken_twice_shows_both_places():
    def own(rgb, slices):
        return rgb

    with pytest.raises(UserError, match="registered twice") as caught:
        register_init("mirror")(own)
    places = str(caught.value)
    assert "inits.py:" in places
    assert f"{Path(__file__).name}:" in places
    assert INITS.get("mirror").fill is not own


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"no init 'uniform-gren'.*'uniform-green'"):
        INITS.get("uniform-gren")


def test_a_decorator_without_a_name_says_how_to_write_it():
    with pytest.raises(UserError, match="write @register_init"):
        register_init(lambda rgb, slices: rgb)
