"""Pretrained weights arrive whole, from a file or by their name, or one sentence says why not."""

import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from weights_files import (
    SMP,
    TIMM,
    assert_encoder_is,
    encoder_state,
    network,
    refusal,
    save,
    whole_state,
)

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.models.pretrained.weights import load_weights, state_digest

REAL = Path(__file__).parents[3] / "../shared/weights/mobilenetv2_100.safetensors"


@pytest.mark.parametrize("encoder", [TIMM, SMP])
@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("w.safetensors", "plain"),
        ("w.pt", "plain"),
        ("w.pth", "plain"),
        ("w.pt", "state_dict"),
        ("w.pt", "model_state_dict"),
        ("w.pt", "model"),
    ],
)
def test_saved_encoder_comes_back_equal(tmp_path, encoder, file, form):
    state = encoder_state(encoder)
    path = save(state, tmp_path / file, form)
    model = network(encoder)
    decoder = {key: value.clone() for key, value in model.decoder.state_dict().items()}
    loaded = load_weights(model, path.name, tmp_path)
    assert_encoder_is(model, state)
    assert (loaded.tag, loaded.digest) == (file, state_digest(state))
    for key, value in model.decoder.state_dict().items():
        assert torch.equal(value, decoder[key]), key


def test_network_without_an_encoder_is_loaded_whole(tmp_path):
    donor, model = nn.Conv2d(3, 1, 3), nn.Conv2d(3, 1, 3)
    path = save(donor.state_dict(), tmp_path / "w.safetensors")
    load_weights(model, str(path))
    assert torch.equal(model.weight, donor.weight)
    assert torch.equal(model.bias, donor.bias)


def test_digest_is_of_the_tensors_whichever_way_they_came(tmp_path):
    state = whole_state("test_resnet")
    shuffled = OrderedDict(sorted(state.items(), reverse=True))
    giant = torch.zeros(10_000_000)
    views, at = {}, 0
    for name, value in state.items():
        if value.is_floating_point():
            views[name] = giant[at : at + value.numel()].view(value.shape).copy_(value)
            at += value.numel()
        else:
            views[name] = value
    ways = [
        save(state, tmp_path / "w.safetensors"),
        save(shuffled, tmp_path / "w.pt"),
        save(views, tmp_path / "views.pt"),
        save({f"module.{k}": v for k, v in state.items()}, tmp_path / "wrapped.pt", "model"),
    ]
    old = tmp_path / "old.pt"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    digests = {load_weights(network(seed=k), str(way)).digest for k, way in enumerate([*ways, old])}
    assert len(digests) == 1
    state["layer1.0.conv1.weight"][0, 0, 0, 0] += 1e-3
    other = load_weights(network(), str(save(state, tmp_path / "other.pt"))).digest
    assert other not in digests
    assert re.fullmatch("sha256:[0-9a-f]{64}", other)


def test_loading_draws_no_random_numbers(tmp_path):
    path = save(whole_state("test_efficientnet"), tmp_path / "w.safetensors")
    model = network("tu-test_efficientnet")
    before = torch.get_rng_state()
    load_weights(model, str(path))
    assert torch.equal(torch.get_rng_state(), before)


def test_created_model_carries_the_files_weights_unless_random(tmp_path):
    from emsym.models.architectures import create_model

    state = encoder_state(TIMM)
    path = str(save(state, tmp_path / "w.safetensors"))
    assert_encoder_is(create_model("unet-tu-test_resnet", "rgb", weights=path), state)
    stem = "model.conv1.0.weight"
    for init, kept in (("uniform-green", True), ("random-stem", True), ("random", False)):
        own = create_model("unet-tu-test_resnet", init, weights=path).encoder.state_dict()
        same = [torch.equal(own[k], state[k]) for k in state if k != stem and own[k].ndim == 4]
        assert all(same) if kept else not any(same), init


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    state = encoder_state()
    state["model.layer2.0.conv1.weight"][1, 0, 2, 1] = value
    told = refusal(save(state, tmp_path / "w.safetensors"))
    assert "not finite in model.layer2.0.conv1.weight" in told


@pytest.mark.parametrize(
    "name", ["absent.pt", "imagnet", "", "folder.pt", "weights.bin", "ResNet.a1"]
)
def test_unknown_weights_say_what_can_be_given(tmp_path, name):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "weights.bin").write_bytes(b"1")
    told = r"give 'pretext', 'imagenet', a name of timm.*, or the path of a \.safetensors"
    with pytest.raises(UserError, match=told):
        load_weights(network(), name, tmp_path)


@pytest.mark.parametrize("weights", ["pretext", "imagenet", "resnet50.a1_in1k"])
def test_made_and_published_weights_are_for_known_encoders_alone(weights):
    with pytest.raises(UserError, match="give the path of a weights file"):
        load_weights(nn.Conv2d(3, 1, 3), weights)


def test_pretext_weights_are_told_as_such(tmp_path, monkeypatch):
    path = save(encoder_state(), tmp_path / "w.safetensors")
    asked = []
    monkeypatch.setattr(
        "emsym.models.pretrained.pretext.pretext_weights", lambda name: asked.append(name) or path
    )
    model = network()
    loaded = load_weights(model, "pretext")
    assert (loaded.tag, asked) == ("pretext", [TIMM])
    assert_encoder_is(model, load_file(path))


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"the real weights are not at {REAL}")
def test_real_imagenet_weights_keep_their_colours():
    model = network("tu-mobilenetv2_100")
    load_weights(model, str(REAL))
    stem = model.encoder.state_dict()["model.conv_stem.weight"]
    norms = stem.square().sum((0, 2, 3)).sqrt().tolist()
    assert norms == pytest.approx([0.850, 1.389, 0.664], abs=6e-4)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"the real weights are not at {REAL}")
def test_real_imagenet_weights_arrive_in_every_layer():
    model = network("tu-mobilenetv2_100")
    load_weights(model, str(REAL))
    given = sorted(float(v.double().sum()) for v in load_file(REAL).values() if v.ndim == 4)
    own = [v for v in model.encoder.state_dict().values() if v.ndim == 4]
    found = sorted(float(v.double().sum()) for v in own)
    # the last convolution (1280 maps) belongs to the classifier's head, which an encoder lacks
    assert len(given) == len(found) + 1
    assert set(found) <= set(given)


@pytest.mark.parametrize("encoder", [TIMM, SMP])
def test_weights_of_one_channel_answer_a_section_in_all_three_as_they_did_in_one(tmp_path, encoder):
    state = encoder_state(encoder)
    stem = next(name for name, value in state.items() if value.ndim == 4 and value.shape[1] == 3)
    state[stem] = state[stem].sum(1, keepdim=True)
    path = save(state, tmp_path / "grey.safetensors")
    model = network(encoder)
    loaded = load_weights(model, str(path))
    assert loaded.grey
    got = model.encoder.state_dict()[stem]
    torch.testing.assert_close(got.sum(1, keepdim=True), state[stem])
    assert torch.equal(got[:, 0], got[:, 2])


def test_weights_of_one_channel_and_a_strategy_of_colours_is_a_sentence(tmp_path):
    state = encoder_state(TIMM)
    stem = next(name for name, value in state.items() if value.ndim == 4 and value.shape[1] == 3)
    state[stem] = state[stem].sum(1, keepdim=True)
    path = save(state, tmp_path / "grey.safetensors")
    name = f"unet-{TIMM}"
    grey = create_model(name, "uniform-mean", 5, path)
    assert next(p for n, p in grey.named_parameters() if n.endswith(stem)).shape[1] == 5
    for init in ("rgb", "uniform-green", "mirror-preserve", "bgr+mirror-tied"):
        with pytest.raises(UserError, match=r"read one channel, and the init .*uniform-mean"):
            create_model(name, init, 3, path)
