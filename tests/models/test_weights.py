"""Pretrained weights arrive whole or not at all, and reading them runs no code."""

import pickle
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.models.stem import find_stem
from emsym.models.weights import load_weights, read_state_dict, weights_identity

TIMM, SMP = "unet-tu-test_resnet", "unet-mobilenet_v2"
REAL = Path(__file__).parents[2] / "../shared/weights/mobilenetv2_100.safetensors"


def encoder_state(name, seed=7):
    """The state dict of an encoder, with values that no other seed has."""
    model = create_model(name, seed=seed)
    return {key: value.clone() for key, value in model.encoder.state_dict().items()}


def save(state, path, form="plain"):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if form == "wrapped" else state, path)
    return path


def assert_encoder_is(model, state):
    own = model.encoder.state_dict()
    assert own.keys() == state.keys()
    for name, value in own.items():
        assert torch.equal(value, state[name]), name


# --- loading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [TIMM, SMP])
@pytest.mark.parametrize(
    ("file", "form"),
    [("w.safetensors", "plain"), ("w.pt", "plain"), ("w.pth", "plain"), ("w.pt", "wrapped")],
)
def test_saved_encoder_comes_back_equal(tmp_path, name, file, form):
    state = encoder_state(name)
    path = save(state, tmp_path / file, form)
    model = create_model(name, seed=0)
    decoder = {key: value.clone() for key, value in model.decoder.state_dict().items()}
    load_weights(model, path.name, tmp_path)
    assert_encoder_is(model, state)
    for key, value in model.decoder.state_dict().items():
        assert torch.equal(value, decoder[key]), key


@pytest.mark.parametrize("classifier", [False, True])
@pytest.mark.parametrize("encoder", ["test_resnet", "test_efficientnet"])
def test_whole_timm_model_fits_its_encoder(tmp_path, encoder, classifier):
    torch.manual_seed(5)
    whole = timm.create_model(encoder, **({} if classifier else {"num_classes": 0})).eval()
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    path = save(whole.state_dict(), tmp_path / "w.safetensors")
    model = create_model(f"unet-tu-{encoder}", seed=0).eval()
    load_weights(model, str(path), Path())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = whole.forward_intermediates(x, intermediates_only=True), model.encoder(x)
    assert len(expected) == len(found) - 1  # which gives the input, too
    for ours, theirs in zip(found[1:], expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_tensors_of_a_classifier_are_left_out(tmp_path):
    state = encoder_state(SMP)
    path = save({**state, "classifier.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    model = create_model(SMP)
    load_weights(model, str(path), Path())
    assert_encoder_is(model, state)


def test_network_without_an_encoder_is_loaded_whole(tmp_path):
    donor, model = nn.Conv2d(3, 1, 3), nn.Conv2d(3, 1, 3)
    path = save(donor.state_dict(), tmp_path / "w.safetensors")
    load_weights(model, str(path), Path())
    assert torch.equal(model.weight, donor.weight)
    assert torch.equal(model.bias, donor.bias)


def test_created_model_carries_the_files_weights_unless_random(tmp_path):
    state = encoder_state(TIMM)
    path = str(save(state, tmp_path / "w.safetensors"))
    assert_encoder_is(create_model(TIMM, "rgb", weights=path), state)
    stem = "model.conv1.0.weight"
    for init, kept in (("uniform-green", True), ("random-stem", True), ("random", False)):
        own = create_model(TIMM, init, weights=path).encoder.state_dict()
        same = [torch.equal(own[k], state[k]) for k in state if k != stem and own[k].ndim == 4]
        assert all(same) if kept else not any(same), init
    green = create_model(TIMM, "uniform-green", weights=path).encoder.state_dict()[stem]
    assert torch.equal(green, state[stem][:, 1:2].expand_as(green))


# --- refusing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [TIMM, SMP])
def test_missing_tensor_is_named(tmp_path, name):
    state = encoder_state(name)
    lost = [key for key in state if key.endswith("weight")][4]
    del state[lost]
    path = save(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=lost.removeprefix("model.").replace(".", r"\.")) as caught:
        load_weights(create_model(name), str(path), Path())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [TIMM, SMP])
def test_tensor_of_another_shape_is_named(tmp_path, name):
    state = encoder_state(name)
    wrong = [key for key in state if key.endswith("weight")][4]
    state[wrong] = torch.zeros(2, 2)
    path = save(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"\(2, 2\)|\[2, 2\]") as caught:
        load_weights(create_model(name), str(path), Path())
    assert wrong in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "shape", "foreign", "empty"])
def test_whole_timm_model_that_does_not_fit_is_refused(tmp_path, monkeypatch, damage):
    # nothing is fetched in its stead; where it is tried, it shall fail at once
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    state = timm.create_model("test_resnet").state_dict()
    told = "layer2.0.conv1.weight"
    if damage == "missing":
        del state[told]
    elif damage == "shape":
        state[told] = torch.zeros(2, 2)
    elif damage == "foreign":
        state, told = {"other.weight": torch.zeros(3)}, "conv1"
    else:
        state, told = {}, "w.safetensors"
    path = save(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="do not fit") as caught:
        load_weights(create_model(TIMM), str(path), Path())
    assert told in str(caught.value)


def test_weights_that_do_not_fit_leave_the_network_as_it_was(tmp_path):
    model = create_model(TIMM, seed=0)
    before = encoder_state(TIMM, seed=0)
    state = encoder_state(TIMM)
    state["model.layer2.0.conv1.weight"] = torch.zeros(2, 2)
    path = save(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError):
        load_weights(model, str(path), Path())
    assert_encoder_is(model, before)


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save_as", ["torch", "pickle"])
def test_code_in_a_file_is_refused_and_never_run(tmp_path, save_as):
    trace, path = tmp_path / "trace", tmp_path / "w.pt"
    content = {"weight": Intruder(trace)}
    if save_as == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="cannot be read as a state dict"):
        read_state_dict(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(content))  # it would have been seen
    assert trace.exists()


def test_pickled_module_is_refused_with_the_way_out(tmp_path):
    torch.save(nn.Conv2d(3, 1, 3), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"safetensors\.torch\.save_file"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {"epoch": 3}, {"a": {}}])
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match="does not hold a state dict"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("file", ["w.pt", "w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights " * 50])
def test_damaged_file_is_refused(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a state dict"):
        read_state_dict(tmp_path / file)


@pytest.mark.parametrize("name", ["absent.pt", "imagnet", "", "folder.pt", "weights.bin"])
def test_unknown_weights_say_what_can_be_given(tmp_path, name):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "weights.bin").write_bytes(b"1")
    with pytest.raises(UserError, match="give 'pretext', 'imagenet' or the path"):
        load_weights(create_model(TIMM), name, tmp_path)


@pytest.mark.parametrize("weights", ["pretext", "imagenet"])
def test_made_and_published_weights_are_for_known_encoders_alone(weights):
    with pytest.raises(UserError, match="give the path of a weights file"):
        load_weights(nn.Conv2d(3, 1, 3), weights, Path())


# --- identity -------------------------------------------------------------------------------------


def test_identity_follows_the_content_and_not_the_name(tmp_path):
    state = {"a": torch.zeros(3)}
    first = weights_identity(save(state, tmp_path / "a.safetensors").name, tmp_path)
    same = weights_identity(save(state, tmp_path / "b.safetensors").name, tmp_path)
    other = weights_identity(save({"a": torch.ones(3)}, tmp_path / "c.safetensors").name, tmp_path)
    assert first == same != other
    assert first.startswith("sha256:")
    assert weights_identity("pretext", tmp_path) == "pretext"


# --- real weights ---------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"the real weights are not at {REAL}")
def test_real_imagenet_weights_keep_their_colours_until_made_uniform():
    def norms(init):
        model = create_model("unet-tu-mobilenetv2_100", init, weights=str(REAL))
        return find_stem(model).weight.detach().square().sum((0, 2, 3)).sqrt().tolist()

    assert norms("rgb") == pytest.approx([0.850, 1.389, 0.664], abs=6e-4)
    assert norms("uniform-green") == pytest.approx([1.389] * 3, abs=6e-4)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"the real weights are not at {REAL}")
def test_real_imagenet_weights_arrive_in_every_layer():
    model = create_model("unet-tu-mobilenetv2_100", weights=str(REAL))
    given = sorted(float(v.double().sum()) for v in load_file(REAL).values() if v.ndim == 4)
    own = [v for v in model.encoder.state_dict().values() if v.ndim == 4]
    found = sorted(float(v.double().sum()) for v in own)
    # the last convolution (1280 maps) belongs to the classifier's head, which an encoder lacks
    assert len(given) == len(found) + 1
    assert set(found) <= set(given)
