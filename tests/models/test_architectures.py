"""Architectures by name: what they read and give, and what is alike between strategies."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from weights_files import whole_state

from emsym.errors import UserError
from emsym.models.architectures import (
    _PROTOTYPES,
    ARCHITECTURES,
    SmpFactory,
    create_model,
    list_architectures,
    register_architecture,
)
from emsym.models.encoders import DECODERS
from emsym.models.inits import list_inits
from emsym.models.pretrained.weights import load_weights

pytestmark = pytest.mark.numerical

NAME = "unet-tu-test_resnet"
STEM = "encoder.model.conv1.0.weight"


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(ARCHITECTURES, "_entries", dict(ARCHITECTURES._entries))


# --- what a network reads and gives ---------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3, 5])
@pytest.mark.parametrize("name", [NAME, "fpn-tu-test_efficientnet", "linknet-mobilenet_v2"])
def test_stack_goes_in_and_the_central_slices_logit_comes_out(name, slices):
    model = create_model(name, slices=slices).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, slices, 32, 64)).shape == (2, 1, 32, 64)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_can_be_built(decoder):
    encoder = "tu-test_vit" if decoder == "dpt" else "tu-test_resnet"
    model = create_model(f"{decoder}-{encoder}", slices=5).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 5, 160, 160)).shape == (1, 1, 160, 160)


def test_names_that_follow_the_pattern_need_not_be_listed():
    assert "unet-tu-resnet14t" not in list_architectures()
    model = create_model("unet-tu-resnet14t", slices=5).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 5, 32, 32)).shape == (1, 1, 32, 32)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [0, 2, 4, -1])
def test_stack_without_a_centre_is_refused(slices):
    with pytest.raises(UserError, match=f"odd number of slices, at most 31, not {slices}"):
        create_model(NAME, slices=slices)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("unet-resnet35", "resnet34"),
        ("unet-tu-test_resnett", "tu-test_resnet"),
        ("unett-resnet34", "unet-resnet34"),
    ],
)
def test_unknown_name_gets_near_ones(name, near):
    with pytest.raises(UserError, match=rf"There is no .*did you mean .*{near}"):
        create_model(name)


def test_unknown_init_gets_near_ones():
    with pytest.raises(UserError, match="did you mean 'mirror'"):
        create_model(NAME, init="miror")


@pytest.mark.usefixtures("registry")
def test_registered_network_is_built_and_filled_like_any_other():
    @register_architecture("own-net")
    def own():
        """One convolution."""
        return nn.Conv2d(3, 1, 3, padding=1)

    assert list_architectures("own-*") == ["own-net"]
    model = create_model("own-net", init="uniform-red", slices=7)
    assert model.weight.shape == (1, 7, 3, 3)
    assert torch.equal(model.weight[:, 0], model.weight[:, 6])


# --- what the seed decides ------------------------------------------------------------------------


def test_strategies_share_everything_but_the_stem():
    base = create_model(NAME, "rgb", seed=3).state_dict()
    for init in list_inits()[::2]:  # strategies and variants that keep norms take turns
        state = create_model(NAME, init, seed=3, spacing_nm=40).state_dict()
        differing = {name for name in base if not torch.equal(base[name], state[name])}
        same = init.removesuffix("-preserve") in ("rgb", "smp", "timm", "zero-fill")
        assert differing == (set() if same else {STEM}), init


@pytest.mark.parametrize("init", ["rgb", "random-stem", "random"])
def test_seed_decides_the_network(init):
    first, again, other = (create_model(NAME, init, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[STEM], other[STEM])
    assert not all(torch.equal(first[k], other[k]) for k in first if k.startswith("decoder"))


@pytest.fixture
def weights(tmp_path):
    """A file of weights for the encoder of `NAME`."""
    path = tmp_path / "w.safetensors"
    save_file(create_model(NAME, seed=7).encoder.state_dict(), path)
    return path


@pytest.fixture
def loaded(monkeypatch):
    """The networks that weights were loaded into, none of them built before."""
    networks = []

    def load(model, *args, **options):
        networks.append(model)
        return load_weights(model, *args, **options)

    monkeypatch.setattr("emsym.models.pretrained.weights.load_weights", load)
    _PROTOTYPES.clear()
    return networks


def test_a_network_is_built_once_for_a_file_and_anew_when_the_file_is_another(weights, loaded):
    inits = ("rgb", "mirror", "uniform-green+mirror-tied", "random-stem")
    before = [create_model(NAME, init, weights=weights, seed=s) for init in inits for s in (0, 1)]
    assert len(loaded) == 1
    save_file(create_model(NAME, seed=8).encoder.state_dict(), weights)
    after = create_model(NAME, "rgb", weights=weights, seed=0)
    assert not torch.equal(after.state_dict()[STEM], before[0].state_dict()[STEM])


def test_networks_asked_for_in_turn_are_built_once_each(weights, loaded):
    names = [NAME.replace("unet", decoder) for decoder in DECODERS[:6]]
    for seed in range(3):
        for name in names:
            create_model(name, weights=weights, seed=seed)
    assert len(loaded) == len(names)


def test_no_more_networks_are_kept_than_there_is_room_for(weights, loaded, monkeypatch):
    monkeypatch.setattr("emsym.models.architectures.CACHE_BYTES", 0)
    names = [NAME, NAME.replace("unet", "fpn")]
    for name in (*names, *names):
        create_model(name, weights=weights)
        assert len(_PROTOTYPES) == 1
    assert len(loaded) == 4


def test_what_becomes_of_a_network_does_not_reach_the_next(weights):
    first = create_model(NAME, weights=weights)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    again = create_model(NAME, weights=weights).state_dict()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_threads_build_the_same_networks(weights):
    expected = create_model(NAME, "random-stem", weights=weights).state_dict()
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda _: create_model(NAME, "random-stem", weights=weights), range(8))
        for model in made:
            state = model.state_dict()
            assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_is_drawn_anew_is_drawn_as_the_constructor_does(decoder):
    factory = SmpFactory(decoder, "tu-test_vit" if decoder == "dpt" else "tu-test_resnet")
    model, other = factory(), factory()
    fresh = [name for name in model.state_dict() if not name.startswith("encoder.")]
    with torch.no_grad():
        for name in fresh:
            model.state_dict()[name].fill_(7)
    factory.redraw(model)
    for name in fresh:
        drawn, made = model.state_dict()[name].double(), other.state_dict()[name].double()
        if made.std() > 0 and made.numel() > 100:
            assert drawn.std() / made.std() == pytest.approx(1, abs=0.25), name
        assert not (drawn == 7).all(), name


@pytest.mark.usefixtures("registry")
def test_layers_under_two_names_get_the_weights_under_both(tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
            self.stages = nn.ModuleList(self.encoder)
            self.head = nn.Conv2d(4, 1, 1)

        def forward(self, x):
            for stage in self.stages:
                x = stage(x)
            return self.head(x)

    register_architecture("twice")(Twice)
    save_file(Twice().encoder.state_dict(), tmp_path / "w.safetensors")
    model = create_model("twice", "uniform-green", weights=tmp_path / "w.safetensors", seed=3)
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(x.flip(1)))


@pytest.mark.parametrize("slices", [3, 5])
def test_mirror_symmetric_stem_makes_a_mirror_symmetric_network(slices):
    x = torch.randn(2, slices, 32, 32, generator=torch.Generator().manual_seed(0))
    errors = {}
    for init in ("mirror", "uniform-green", "rgb"):
        model = create_model(NAME, init, slices).eval()
        with torch.no_grad():
            there, back = model(x), model(x.flip(1))
        errors[init] = float((there - back).abs().max() / there.abs().max())
    assert errors["mirror"] < 1e-5
    assert errors["uniform-green"] < 1e-5
    assert errors["rgb"] > 1e-2


@pytest.mark.parametrize("decoder", ["linknet", "unet"])
def test_the_first_stages_of_an_encoder_of_timm_may_do_and_take_their_weights_from_a_whole_file(
    decoder, tmp_path
):
    whole = whole_state("test_resnet")
    save_file(whole, tmp_path / "w.safetensors")
    name = f"{decoder}-tu-test_resnet-depth3"
    model = create_model(name, weights=tmp_path / "w.safetensors").eval()
    kept = model.encoder.state_dict()
    assert torch.equal(kept["model.layer2.0.conv1.weight"], whole["layer2.0.conv1.weight"])
    assert any(key.startswith("layer4") for key in whole)
    assert not any(".layer4" in key for key in kept)
    assert ARCHITECTURES.get(name).name == name
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unet-resnet34-depth4", "no (architecture|encoder)"),
        ("unet-tu-test_resnet-depth9", "asks for the first 9 stages of its encoder: take 1 to 4"),
    ],
)
def test_no_other_depth_is_an_architecture(name, said):
    with pytest.raises(UserError, match=said):
        create_model(name)
