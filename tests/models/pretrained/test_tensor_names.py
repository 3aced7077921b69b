"""Stored tensors find their places in an encoder, whoever named them, or none does."""

import re

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file
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

from emsym.models.pretrained.tensor_names import match_tensors
from emsym.models.pretrained.weights import load_weights

FAMILIES = [
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "resnet18",
    "efficientnet_b0",
    "regnetx_002",
    "pvt_v2_b0",
    "mobilenetv3_small_050",
    "hrnet_w18_small",
    "fastvit_t8",
    "mobileone_s0",
]


LARGE = [
    "densenet121",
    "vgg11",
    "swin_tiny_patch4_window7_224",
    "maxvit_tiny_rw_224",
    "twins_pcpvt_small",
    "dla34",
    "legacy_seresnet18",
    "resnetv2_18",
    "swinv2_tiny_window8_256",
    "res2net50_26w_4s",
    "nfnet_l0",
]
"""How timm names tensors and takes features out of a model differs from family to family."""


def convnext_as_published(state):
    """Names of ConvNeXt's authors for timm's, and their shape of a layer on each pixel."""
    published = {}
    for name, value in state.items():
        name = name.replace("stem.", "downsample_layers.0.").replace("head.fc.", "head.")
        name = re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", name)
        name = re.sub(r"stages\.(\d)\.blocks", r"stages.\1", name)
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        if "pwconv" in name and value.ndim == 4:
            value = value.flatten(1)
        published[name.replace("head.norm", "norm")] = value
    return published


def pvt_as_published(state):
    published = {}
    for name, value in state.items():
        name = re.sub(
            r"stages\.(\d)\.(downsample|blocks|norm)\b",
            lambda m: (
                {"downsample": "patch_embed", "blocks": "block"}.get(m[2], m[2])
                + str(int(m[1]) + 1)
            ),
            name,
        )
        published[
            name.replace("patch_embed.", "patch_embed1.").replace("dwconv", "dwconv.dwconv")
        ] = value
    return published


def densenet_as_published(state):
    return {re.sub(r"(denselayer\d+\.\w+?)([12]\.)", r"\1.\2", k): v for k, v in state.items()}


@pytest.mark.parametrize(
    "name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_whole_timm_model_fits_its_encoder_as_timm_would_load_it(tmp_path, name):
    path = save(whole_state(name), tmp_path / "w.safetensors")
    model = network(f"tu-{name}")
    load_weights(model, str(path))
    features = timm.create_model(
        name,
        features_only=True,
        out_indices=model.encoder.model.feature_info.out_indices,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(path)},
    )
    expected = {f"model.{key}": value for key, value in features.state_dict().items()}
    assert_encoder_is(model, expected)


@pytest.mark.parametrize("encoder", ["test_resnet", "test_efficientnet"])
def test_timm_model_without_a_classifier_gives_the_features_of_the_whole(tmp_path, encoder):
    state = whole_state(encoder, num_classes=0)
    whole = timm.create_model(encoder, num_classes=0).eval()
    whole.load_state_dict(state)
    model = network(f"tu-{encoder}").eval()
    load_weights(model, str(save(state, tmp_path / "w.safetensors")))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = whole.forward_intermediates(x, intermediates_only=True), model.encoder(x)
    assert len(expected) == len(found) - 1  # which gives the input, too
    for ours, theirs in zip(found[1:], expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("name", "published"),
    [("convnext_atto", convnext_as_published), ("pvt_v2_b0", pvt_as_published)],
)
def test_names_that_the_authors_published_are_turned_into_timms(tmp_path, name, published):
    state = whole_state(name)
    renamed = published(state)
    assert renamed.keys() != state.keys()
    ours, theirs = network(f"tu-{name}"), network(f"tu-{name}", seed=1)
    load_weights(ours, str(save(state, tmp_path / "ours.pt")))
    load_weights(theirs, str(save(renamed, tmp_path / "theirs.pt", "model")))
    assert_encoder_is(theirs, ours.encoder.state_dict())


@pytest.mark.parametrize(
    ("encoder", "donor"),
    [
        ("resnet18", torchvision.models.resnet18),
        ("densenet121", torchvision.models.densenet121),
        ("mobilenet_v2", torchvision.models.mobilenet_v2),
        pytest.param("vgg11", torchvision.models.vgg11, marks=pytest.mark.slow),  # half a gigabyte
    ],
)
def test_torchvisions_files_fit_the_encoders_made_of_them(tmp_path, encoder, donor):
    torch.manual_seed(5)
    state = {k: v for k, v in donor().state_dict().items() if not k.endswith("batches_tracked")}
    if encoder == "vgg11":
        state["classifier.6.weight"] = torch.zeros(2)
        state = {k: v for k, v in state.items() if k[:12] not in ("classifier.0", "classifier.3")}
    path = save(densenet_as_published(state), tmp_path / "w.pth")
    model = network(encoder)
    load_weights(model, str(path))
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, state.get(name, torch.tensor(0))), name


@pytest.mark.parametrize(
    "encoder", ["efficientnet-b0", "mit_b0", "mobileone_s0", "timm-efficientnet-b0", "dpn68"]
)
def test_classifiers_of_published_weights_are_left_out(tmp_path, encoder):
    state = encoder_state(encoder)
    extended = dict(state)
    for name in ("_fc", "head", "linear", "classifier", "last_linear", "fc", "classifier.1"):
        extended |= {f"{name}.weight": torch.zeros(2, 2), f"{name}.bias": torch.zeros(2)}
    model = network(encoder)
    load_weights(model, str(save(extended, tmp_path / "w.safetensors")))
    assert_encoder_is(model, state)


@pytest.mark.parametrize("classes", [0, 10])
def test_vision_transformer_needs_no_classifier(tmp_path, classes):
    state = whole_state("test_vit", num_classes=classes)
    path = save(state, tmp_path / "w.safetensors")
    digests = set()
    for seed in (0, 1):
        model = network("tu-test_vit", seed, "dpt")
        digests.add(load_weights(model, str(path)).digest)
        for name, value in model.encoder.model.state_dict().items():
            assert name.startswith("head.") or torch.equal(value, state[name]), name
    assert len(digests) == 1


@pytest.mark.parametrize("encoder", [TIMM, SMP])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_encoder_of_a_whole_segmentation_network_is_found(tmp_path, encoder, prefix):
    donor = network(encoder, seed=7)
    state = {prefix + name: value for name, value in donor.state_dict().items()}
    model = network(encoder, decoder="linknet")
    decoder = {key: value.clone() for key, value in model.decoder.state_dict().items()}
    load_weights(model, str(save(state, tmp_path / "w.pt")))
    assert_encoder_is(model, donor.encoder.state_dict())
    for key, value in model.decoder.state_dict().items():
        assert torch.equal(value, decoder[key]), key


@pytest.mark.parametrize("prefix", ["module.", "model.", "encoder.", "module.encoder."])
def test_wrapper_around_all_names_is_taken_off(tmp_path, prefix):
    for encoder, state in [
        (TIMM, encoder_state(TIMM)),
        (TIMM, whole_state("test_resnet")),
        (SMP, encoder_state(SMP)),
    ]:
        plain, wrapped = network(encoder), network(encoder, seed=1)
        load_weights(plain, str(save(state, tmp_path / "plain.pt")))
        state = {prefix + name: value for name, value in state.items()}
        load_weights(wrapped, str(save(state, tmp_path / "wrapped.pt")))
        assert_encoder_is(wrapped, plain.encoder.state_dict())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_as_it_is(tmp_path, half):
    state = {k: v.to(half) if v.is_floating_point() else v for k, v in encoder_state().items()}
    model = network()
    load_weights(model, str(save(state, tmp_path / "w.safetensors")))
    for name, value in model.encoder.state_dict().items():
        assert value.dtype == (torch.float32 if state[name].dtype == half else torch.int64)
        assert torch.equal(value, state[name].to(value.dtype))


def test_timm_is_left_as_it_was(tmp_path):
    first = save(whole_state("test_convnext"), tmp_path / "w.safetensors")
    load_weights(network("tu-test_convnext"), str(first))
    again = timm.create_model(
        "test_convnext", pretrained=True, pretrained_cfg_overlay={"file": str(first)}
    )
    for name, value in load_file(first).items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize("encoder", [TIMM, SMP])
def test_missing_tensors_are_named_and_counted(tmp_path, encoder):
    state = encoder_state(encoder)
    lost = [key for key in state if key.endswith("weight")][4:9]
    for key in lost:
        del state[key]
    told = refusal(save(state, tmp_path / "w.safetensors"), network(encoder))
    assert f"5 tensors missing ({', '.join(lost[:3])}, …)" in told


@pytest.mark.parametrize("encoder", [TIMM, SMP])
def test_tensor_of_another_shape_is_named(tmp_path, encoder):
    state = encoder_state(encoder)
    wrong = [key for key in state if key.endswith("weight")][4]
    shape = tuple(state[wrong].shape)
    state[wrong] = torch.zeros(2, 2)
    told = refusal(save(state, tmp_path / "w.safetensors"), network(encoder))
    assert f"1 tensor of another shape ({wrong} is (2, 2) and must be {shape})" in told


@pytest.mark.parametrize("encoder", [TIMM, SMP])
def test_tensor_without_a_place_is_named(tmp_path, encoder):
    state = encoder_state(encoder)
    state |= {"model.layer9.weight": torch.zeros(2), "aspp.weight": torch.zeros(2)}
    told = refusal(save(state, tmp_path / "w.safetensors"), network(encoder))
    assert "2 tensors unexpected (aspp.weight, model.layer9.weight)" in told


@pytest.mark.parametrize("damage", ["missing", "shape", "extra", "foreign", "empty", "deeper"])
def test_whole_timm_model_that_does_not_fit_is_refused(tmp_path, damage):
    state = whole_state("test_resnet")
    name = "layer2.0.conv1.weight"
    if damage == "missing":
        del state[name]
        told = f"1 tensor missing (model.{name})"
    elif damage == "shape":
        state[name] = torch.zeros(2, 2)
        told = f"1 tensor of another shape (model.{name} is (2, 2)"
    elif damage == "extra":
        state["layer2_0_conv1.weight"] = state[name].clone()  # which is joined to the same name
        told = "1 tensor unexpected ("
    elif damage == "foreign":
        state, told = {"other.weight": torch.zeros(3)}, "1 tensor unexpected (other.weight)"
    elif damage == "deeper":
        state["layer4.7.conv1.weight"] = torch.zeros(2)
        told = "1 tensor unexpected (layer4.7.conv1.weight)"
    else:
        state, told = {}, "tensors missing (model.conv1"
    assert told in refusal(save(state, tmp_path / "w.safetensors"))


def test_another_networks_file_is_refused(tmp_path):
    path = save(whole_state("resnet26"), tmp_path / "w.safetensors")
    told = refusal(path, network("tu-resnet18"))
    assert "of another shape" in told
    assert "unexpected" in told


def test_wrapper_around_some_names_alone_stays(tmp_path):
    state = encoder_state(SMP)
    name = next(iter(state))
    state[f"module.{name}"] = state.pop(name)
    told = refusal(save(state, tmp_path / "w.pt"), network(SMP))
    assert f"1 tensor missing ({name}), 1 tensor unexpected (module.{name})" in told


@pytest.mark.parametrize("kind", ["int8", "float64", "complex64", "quantised"])
def test_values_that_loading_would_change_are_refused(tmp_path, kind):
    state = encoder_state()
    name = "model.layer2.0.conv1.weight"
    if kind == "quantised":
        state[name], kind = torch.quantize_per_tensor(state[name], 0.1, 0, torch.qint8), "qint8"
    else:
        state[name] = state[name].to(getattr(torch, kind))
    told = refusal(save(state, tmp_path / "w.pt"))
    assert f"1 tensor of another type ({name} is {kind} and must be float32)" in told


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (torch.tensor(12345.0).half(), 12344),  # rounded, and no answer depends on it
        (torch.tensor(70000.0).half(), 0),  # infinite
        (torch.tensor(1234.5), 1234),  # an average of several networks
        (torch.tensor(torch.nan), 0),
        (torch.tensor(7, dtype=torch.int32), 7),
    ],
)
def test_batches_may_be_counted_in_any_type(given, count):
    own = {"bn.num_batches_tracked": torch.tensor(0)}
    match = match_tensors(own, {"bn.num_batches_tracked": given})
    assert not match.mismatches
    value = match.values["bn.num_batches_tracked"]
    assert (value.dtype, int(value)) == (torch.int64, count)


@pytest.mark.parametrize(
    ("values", "kind", "fits"),
    [
        ([-255, 0, 255], "bfloat16", True),
        ([0, 256], "bfloat16", False),  # what was 257 is 256, too
        ([0, 2047], "float16", True),
        ([0, 2048], "float16", False),
        ([0, 1 << 20], "float32", True),
        ([0.5], "float64", False),
        ([torch.inf], "float64", False),
        ([torch.nan], "float64", False),
    ],
)
def test_whole_numbers_may_have_been_cast_where_none_was_rounded(values, kind, fits):
    own = {"index": torch.zeros(len(values), dtype=torch.int64)}
    match = match_tensors(own, {"index": torch.tensor(values).to(getattr(torch, kind))})
    if fits:
        assert match.values["index"].tolist() == values
        assert match.values["index"].dtype == torch.int64
    else:
        assert match.mismatch_text() == (
            "1 tensor of whole numbers that may be rounded, so cast floating-point tensors alone "
            f"(index is {kind} and must be int64)"
        )


def test_names_of_a_hostile_file_stay_on_one_short_line(tmp_path):
    state = {f"a\n\x1b[31m{k}": torch.zeros(1) for k in range(9)} | {"b" * 9999: torch.zeros(1)}
    told = refusal(save(state, tmp_path / "w.pt"))
    assert "\x1b" not in told
    assert len(told) < 2000
