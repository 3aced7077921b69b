"""A stem of every kind is filled for any number of slices, and the rest stays as it was."""

import copy

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from stem_networks import (
    FIXED,
    LARGER,
    NETWORKS,
    SIZE,
    Net,
    built,
    conv,
    kinds,
    normalised,
    patches,
    plain,
    sentence,
    wide,
    with_rows,
)
from torch import nn

from emsym.errors import UserError
from emsym.models.inits import INITS, InitStrategy
from emsym.models.interventions.mirror_tied import mirror_tie
from emsym.models.stem.fill import fill_stem
from emsym.models.stem.find import find_stem

pytestmark = [
    pytest.mark.numerical,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*quantiz"),
    pytest.mark.filterwarnings("ignore:.*num_features:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*global hooks:UserWarning"),
]


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


SCRIPTED = {
    "script": lambda: torch.jit.script(plain()),
    "trace": lambda: torch.jit.trace(plain().eval(), torch.zeros(1, 3, 8, 8)),
    "in part": lambda: nn.Sequential(torch.jit.script(conv()), nn.ReLU()),
}


scripted = pytest.mark.parametrize("build", SCRIPTED.values(), ids=SCRIPTED)


def zeroing(rgb, slices):
    rgb.zero_()
    return wide(rgb, slices)


def raising(rgb, slices):
    raise ValueError("out\nof luck.")


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


def test_each_slice_gets_the_mean_of_the_constants_and_rgb_keeps_them():
    model = normalised((3,))
    fill(model, "rgb", 3)
    assert torch.equal(model.mean, torch.tensor([0.4, 0.5, 0.6]))
    fill(model, "uniform-green", 5)
    torch.testing.assert_close(model.mean, torch.full((5,), 0.5))
    torch.testing.assert_close(model.std, torch.full((5,), 0.2))


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
        (lambda rgb, slices: rgb[:, 99], r"fails: IndexError: .*test_fill\.py:\d+"),
        (raising, r"fails: ValueError: out of luck \(.*test_fill\.py:\d+\)"),
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
