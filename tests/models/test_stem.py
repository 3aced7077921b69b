"""The stem is found by watching a network run, and filled without touching anything else."""

import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.inits import INITS, InitStrategy
from emsym.models.stem import fill_stem, find_stem


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)
    )


class TwoPaths(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return self.left(x) + self.right(x)


class Slow(nn.Module):
    """Its first convolution in order of definition is not the one that reads the input."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)
        self.stem = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.head(self.stem(x))


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        self.stem(x)
        raise RuntimeError("out of luck")


def hooks(model):
    return sum(
        len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules()
    )


# --- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "stem"),
    [
        ("resnet18", "encoder.conv1"),
        ("mobilenet_v2", "encoder.features.0.0"),
        ("densenet121", "encoder.features.conv0"),
        ("tu-test_resnet", "encoder.model.conv1.0"),
        ("tu-test_efficientnet", "encoder.model.conv_stem"),
    ],
)
def test_stem_of_a_unet_is_its_encoders_first_convolution(encoder, stem):
    model = smp.Unet(encoder, encoder_weights=None)
    assert find_stem(model) is model.get_submodule(stem)


def test_stem_is_what_reads_the_input_not_what_is_defined_first():
    model = Slow()
    assert find_stem(model) is model.stem


def test_stem_of_other_than_three_channels_is_found():
    model = nn.Sequential(nn.Conv2d(5, 1, 3))
    assert find_stem(model, channels=5) is model[0]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (TwoPaths(), r"left \(Conv2d\), right \(Conv2d\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 1)), r"0 \(Flatten\)"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)), r"0 \(BatchNorm2d\)"),
        (nn.Sequential(nn.Conv2d(3, 3, 3, groups=3)), "grouped"),
        (nn.Identity(), "Conv2d"),
    ],
    ids=["two-readers", "no-convolution", "norm-first", "grouped", "no-parameters"],
)
def test_network_without_just_one_plain_convolution_is_refused(model, told):
    with pytest.raises(UserError, match=told):
        find_stem(model)


@pytest.mark.parametrize("training", [True, False])
def test_finding_leaves_no_trace(training):
    model = small().train(training)
    before = copy.deepcopy(model.state_dict())
    find_stem(model)
    assert all(module.training == training for module in model.modules())
    assert hooks(model) == 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_frozen_part_stays_in_eval_mode():
    model = small().train()
    model[1].eval()
    find_stem(model)
    assert [module.training for module in model] == [True, False, True]


def test_network_that_fails_is_left_without_hooks():
    model = Failing().train()
    with pytest.raises(RuntimeError, match="out of luck"):
        find_stem(model)
    assert hooks(model) == 0
    assert model.training


# --- filling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3, 5, 9])
def test_filled_network_reads_that_many_slices_with_the_strategys_weights(slices):
    model = small()
    rgb = model[0].weight.detach().clone()
    fill_stem(model, "mirror", INITS.get("mirror"), slices)
    assert torch.equal(model[0].weight, INITS.get("mirror").fill(rgb, slices))
    assert model[0].weight.requires_grad
    assert model[0].in_channels == slices
    assert model(torch.zeros(2, slices, 8, 8)).shape == (2, 1, 8, 8)


def test_filling_changes_nothing_but_the_stems_weight():
    model = smp.Unet("tu-test_resnet", encoder_weights=None).train()
    before = copy.deepcopy(model.state_dict())
    fill_stem(model, "uniform-green", INITS.get("uniform-green"), 5)
    changed = {
        name
        for name, value in model.state_dict().items()
        if value.shape != before[name].shape or not torch.equal(value, before[name])
    }
    assert changed == {"encoder.model.conv1.0.weight"}
    assert model.training
    assert hooks(model) == 0


def test_rgb_for_three_slices_is_the_same_function():
    model = small().eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = model(x)
        fill_stem(model, "rgb", INITS.get("rgb"), 3)
        assert torch.equal(model(x), before)


@pytest.mark.parametrize(
    ("fill", "told"),
    [
        (lambda rgb, slices: rgb, r"\(4, 3, 3, 3\)"),
        (lambda rgb, slices: rgb[:, :1].repeat(1, slices, 1, 1).double(), "float64"),
        (lambda rgb, slices: rgb[:, :1].repeat(1, slices, 1, 1) * float("nan"), "not finite"),
        (lambda rgb, slices: rgb[:, :1].repeat(1, slices, 1, 1) / 0, "not finite"),
        (lambda rgb, slices: rgb[:, :1].repeat(1, slices, 1, 1).numpy(), "ndarray"),
        (lambda rgb, slices: None, "NoneType"),
    ],
    ids=["shape", "dtype", "nan", "infinite", "numpy", "none"],
)
def test_strategy_that_breaks_its_promise_is_named(fill, told):
    model = small()
    before = model[0].weight.detach().clone()
    with pytest.raises(UserError, match=told) as caught:
        fill_stem(model, "mine", InitStrategy(fill), 5)
    assert "The init 'mine' gives" in str(caught.value)
    assert torch.equal(model[0].weight, before)


def test_strategy_that_writes_into_its_input_leaves_the_network_alone():
    def careless(rgb, slices):
        rgb.zero_()
        return rgb[:, :2]

    model = small()
    before = model[0].weight.detach().clone()
    with pytest.raises(UserError, match="mine"):
        fill_stem(model, "mine", InitStrategy(careless), 3)
    assert torch.equal(model[0].weight, before)


def test_a_strategy_that_raises_is_one_sentence_with_the_place():
    def broken(rgb, slices):
        return rgb[:, 99]

    with pytest.raises(UserError, match=r"'mine' fails: IndexError: .*test_stem\.py:\d+"):
        fill_stem(nn.Conv2d(3, 4, 3), "mine", InitStrategy(broken), 3)
