"""A built network is repaired in place, and the report says what was changed."""

import copy
import math
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file
from torch import nn

import emsym
from emsym.errors import UserError
from emsym.models.inits import INITS, register_init
from emsym.models.stem.symmetrize import Changes, symmetrize

pytestmark = pytest.mark.numerical

REAL = Path(__file__).parents[3] / "../shared/weights/mobilenetv2_100.safetensors"


def network(slices=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(slices, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)
    )


def known():
    """A network whose slices meet the norms 1, 2 and 3, after a normalisation."""

    class Known(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1))
            self.stem = nn.Conv2d(3, 1, 1, bias=False)
            self.stem.weight.data = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)

        def forward(self, x):
            return self.stem(x - self.mean)

    return Known()


def test_a_weaker_stem_is_told_with_the_variant_that_keeps_the_norm():
    told = str(symmetrize(known(), "rgb+mirror-tied"))
    # 1, −2, 3 → 2, −2, 2
    assert "have 0.93 ×" not in told  # within a tenth
    opposed = known()
    opposed.stem.weight.data = torch.tensor([1.0, 0.5, -0.5]).view(1, 3, 1, 1)
    told = str(symmetrize(opposed, "rgb+mirror-tied"))  # → 0.25, 0.5, 0.25
    assert "have 0.50 × the norm that they had" in told
    assert "mirror-preserve+mirror-tied keeps the norm of each filter" in told
    preserved = symmetrize(known(), "mirror-preserve+mirror-tied")
    (change,) = [change for change in preserved.changes if change.weight]
    assert math.hypot(*change.after) == pytest.approx(math.hypot(*change.before), rel=1e-5)
    assert "× the norm" not in str(preserved)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_unchanged(model, before):
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def asymmetry(model, slices=3):
    model = copy.deepcopy(model).double().eval()
    x = torch.rand(2, slices, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        one, other = model(x), model(x.flip(1))
    return float((one - other).abs().max() / one.abs().max())


# --- what is changed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "slices", "weights", "means"),
    [
        ("uniform-green", None, (2, 2, 2), (0.3, 0.3, 0.3)),
        ("uniform-green", 3, (2, 2, 2), (0.3, 0.3, 0.3)),
        ("uniform-blue", 1, (3,), (0.3,)),
        ("mirror", 5, (2, 2, 2, 2, 2), (0.3,) * 5),
        ("uniform-green-preserve", 1, (14**0.5,), (0.3,)),
        ("rgb", None, (1, 2, 3), (0.1, 0.2, 0.6)),
        ("rgb+mirror-tied", None, (2, 2, 2), (0.35, 0.2, 0.35)),
    ],
)
def test_the_report_gives_the_norms_before_and_after(init, slices, weights, means):
    model = known()
    stem, mean = symmetrize(model, init, slices).changes
    assert stem.name == "stem.weight"
    assert stem.shape == (1, len(weights), 1, 1) == tuple(model.stem.weight.shape)
    assert stem.before == pytest.approx((1, 2, 3))
    assert stem.after == pytest.approx(weights)
    assert mean.name == "mean"
    assert mean.before == pytest.approx((0.1, 0.2, 0.6))
    assert mean.after == pytest.approx(means)
    assert model.mean.flatten().tolist() == pytest.approx(means)


def test_the_report_can_be_read():
    told = str(symmetrize(known(), "uniform-green"))
    assert told.splitlines()[1:] == [
        "  stem.weight (1×3×1×1): 1 2 3 → 2 2 2",
        "  mean (1×3×1×1): 0.1 0.2 0.6 → 0.3 0.3 0.3",
        "(of weights the L2 norm, of constants the value)",
        "Both sides of the centre are treated alike now.",
    ]
    assert told.startswith("uniform-green: ")


@pytest.mark.parametrize("init", ["uniform-green", "mirror", "rgb+mirror-tied"])
@pytest.mark.parametrize("slices", [None, 5])
def test_the_network_becomes_symmetric(init, slices):
    model = network()
    assert asymmetry(model) > 1e-3
    assert isinstance(symmetrize(model, init, slices), Changes)
    assert asymmetry(model, slices or 3) < 1e-10


@pytest.mark.parametrize("init", ["uniform-green", "rgb+mirror-tied", "random-stem"])
@pytest.mark.parametrize("slices", [None, 1, 5])
def test_a_dry_run_reports_the_same_and_changes_nothing(init, slices):
    model = network().train()
    before, parameters = state(model), [id(value) for value in model.parameters()]
    torch.manual_seed(1)
    promised = symmetrize(model, init, slices, dry_run=True)
    assert_unchanged(model, before)
    assert [id(value) for value in model.parameters()] == parameters
    torch.manual_seed(1)
    assert symmetrize(model, init, slices) == promised


def test_it_is_what_the_package_offers():
    assert emsym.symmetrize is symmetrize


def test_rgb_changes_no_bit():
    model = network()
    before = state(model)
    symmetrize(model, "rgb")
    assert_unchanged(model, before)


def test_a_network_may_be_repaired_again():
    model = network()
    symmetrize(model, "mirror")
    before = state(model)
    (change,) = symmetrize(model, "mirror").changes
    assert change.before == pytest.approx(change.after)
    torch.testing.assert_close(dict(model.state_dict()), before)


# --- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["uniform-green", "mirror-preserve+mirror-tied"])
@pytest.mark.parametrize("slices", [None, 5])
def test_nothing_but_the_stem_is_touched_or_copied(init, slices):
    model = smp.Unet("tu-test_resnet", encoder_weights=None).train()
    model.encoder.eval()
    stem = "encoder.model.conv1.0."
    places = {name: value.data_ptr() for name, value in model.state_dict().items()}
    before, modes = state(model), {name: each.training for name, each in model.named_modules()}
    symmetrize(model, init, slices)
    after = {name: value for name, value in model.state_dict().items() if stem not in name}
    assert after.keys() == {name for name in before if stem not in name}
    for name, value in after.items():
        assert torch.equal(value, before[name]), name
        assert value.data_ptr() == places[name], name
    now = {name: each.training for name, each in model.named_modules()}
    assert {name: now[name] for name in modes} == modes


@pytest.mark.parametrize("init", ["uniform-green", "rgb+mirror-tied"])
def test_parameters_keep_their_identity_where_the_number_of_slices_stays(init):
    model = network()
    before = {id(value) for value in model.parameters()}
    symmetrize(model, init)
    assert {id(value) for value in model.parameters()} == before


def allocated(job):
    """Bytes that PyTorch asks for while `job()` runs, each place counted once."""
    with torch.profiler.profile(profile_memory=True) as profile:
        job()
    return sum(max(event.self_cpu_memory_usage, 0) for event in profile.events())


def test_a_large_body_is_not_copied():
    model = nn.Sequential(network(), nn.Conv2d(1, 1, 1))
    model[1].weights = nn.Parameter(torch.ones(50_000_000))  # 200 MB
    assert allocated(lambda: symmetrize(model, "uniform-green", 5)) < 50e6
    assert allocated(lambda: copy.deepcopy(model)) >= 200e6  # which would have been seen


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "slices", "told"),
    [
        ("random", None, "take 'random-stem'"),
        ("random+mirror-tied", None, "take 'random-stem'"),
        ("gaussian", None, "how far sections are apart"),
        ("rgb+shared-stem", None, "'shared-stem' builds another network, which must be trained"),
        ("uniform-green+zflip-augment", None, "but how it is trained: it"),
        ("rgb+mirror-tied+flip-loss", None, "but how it is trained: it"),
        ("uniform-gren", None, "'uniform-green'"),
        ("rgb+tied", None, "no intervention 'tied'"),
        ("rgb", 2, "odd number of slices"),
        ("rgb", 0, "odd number of slices"),
        ("rgb", -1, "odd number of slices"),
        ("rgb", 33, "at most 31"),
    ],
)
def test_what_repairs_no_network_is_refused_in_one_sentence(init, slices, told):
    model = network()
    before = state(model)
    with pytest.raises(UserError, match=told) as caught:
        symmetrize(model, init, slices)
    assert "\n" not in str(caught.value)
    assert_unchanged(model, before)


@pytest.mark.parametrize("init", ["uniform-green", "timm", "mirror-preserve+mirror-tied"])
@pytest.mark.parametrize("slices", [None, 3])
def test_a_network_of_five_slices_has_no_colours(init, slices):
    model = network(5)
    with pytest.raises(UserError, match=r"reads 5 slices.*as in 'rgb\+mirror-tied'"):
        symmetrize(model, init, slices)


def test_a_network_of_five_slices_can_be_tied():
    model = network(5)
    assert asymmetry(model, 5) > 1e-3
    (change,) = symmetrize(model, "rgb+mirror-tied").changes
    assert asymmetry(model, 5) < 1e-10
    assert change.after == change.after[::-1] != change.before


def test_a_tied_network_is_refused():
    model = network()
    symmetrize(model, "rgb+mirror-tied")
    with pytest.raises(UserError, match="remove_parametrizations"):
        symmetrize(model, "uniform-green")


@pytest.mark.parametrize("made", ["shape", "raises"])
def test_a_strategy_that_fails_leaves_the_network_as_it_was(made, monkeypatch):
    monkeypatch.setattr(INITS, "_entries", dict(INITS._entries))

    @register_init("broken")
    def broken(rgb, slices):
        """Breaks its promise."""
        return rgb[:, :2] if made == "shape" else rgb[:, 99]

    model = network()
    before = state(model)
    with pytest.raises(UserError, match="The init 'broken' "):
        symmetrize(model, "broken+mirror-tied", 5)
    assert_unchanged(model, before)
    assert model[0].in_channels == 3


# --- real weights ---------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real weights of ../shared are not here")
def test_real_weights_meet_the_colours_unequally_until_repaired():
    model = smp.Unet("tu-mobilenetv2_100", encoder_weights=None)
    model.encoder.model.load_state_dict(load_file(REAL), strict=False)
    (change,) = symmetrize(model, "uniform-green").changes
    assert change.name == "encoder.model.conv_stem.weight"
    assert change.before == pytest.approx((0.850, 1.389, 0.664), abs=6e-4)
    assert change.after == pytest.approx((1.389,) * 3, abs=6e-4)
    assert asymmetry(model) < 1e-10


def test_a_weight_under_two_names_stays_one_when_it_is_widened():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.alias = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
            self.alias.weight = self.a.weight

        def forward(self, x):
            return self.a(x)

    model = Shared()
    symmetrize(model, "uniform-green", 5)
    assert model.alias.weight is model.a.weight
    assert model.a.weight.shape == (2, 5, 1, 1)


def test_a_notebook_shows_a_row_for_each_tensor_and_the_outcome():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1))
    changes = symmetrize(model, "uniform-green")
    shown = changes._repr_html_()
    assert shown.count("<tr>") == 1 + len(changes.changes)
    assert "<th>0.weight</th><td>4×3×3×3</td>" in shown
    assert "Both sides of the centre are treated alike now." in shown
