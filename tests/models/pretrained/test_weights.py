"""Pretrained weights arrive whole or not at all, and reading them runs no code."""

import json
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from emsym.errors import UserError
from emsym.models.pretrained.checkpoint import read_state_dict
from emsym.models.pretrained.weights import load_weights, state_digest, weights_identity

TIMM, SMP = "tu-test_resnet", "mobilenet_v2"
REAL = Path(__file__).parents[3] / "../shared/weights/mobilenetv2_100.safetensors"
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


def network(encoder=TIMM, seed=0, decoder="fpn"):
    torch.manual_seed(seed)
    return smp.create_model(decoder, encoder, encoder_weights=None)


def encoder_state(encoder=TIMM, seed=7):
    """The state dict of an encoder, with values that no other seed has."""
    return {k: v.clone() for k, v in network(encoder, seed).encoder.state_dict().items()}


def whole_state(name="test_resnet", seed=5, **options):
    """The state dict of a whole timm model, each BatchNorm with statistics of its own."""
    torch.manual_seed(seed)
    model = timm.create_model(name, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    return {key: value.clone() for key, value in model.state_dict().items()}


def save(state, path, form="plain"):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state if form == "plain" else {form: state, "epoch": 3}, path)
    return path


def assert_encoder_is(model, state):
    own = model.encoder.state_dict()
    assert own.keys() == state.keys()
    for name, value in own.items():
        assert torch.equal(value, state[name]), name


def refusal(path, model=None):
    """The sentence that loading a file ends in; the network is as it was before."""
    model = model or network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_weights(model, str(path))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


# --- loading --------------------------------------------------------------------------------------


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


def test_network_without_an_encoder_is_loaded_whole(tmp_path):
    donor, model = nn.Conv2d(3, 1, 3), nn.Conv2d(3, 1, 3)
    path = save(donor.state_dict(), tmp_path / "w.safetensors")
    load_weights(model, str(path))
    assert torch.equal(model.weight, donor.weight)
    assert torch.equal(model.bias, donor.bias)


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


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_as_it_is(tmp_path, half):
    state = {k: v.to(half) if v.is_floating_point() else v for k, v in encoder_state().items()}
    model = network()
    load_weights(model, str(save(state, tmp_path / "w.safetensors")))
    for name, value in model.encoder.state_dict().items():
        assert value.dtype == (torch.float32 if state[name].dtype == half else torch.int64)
        assert torch.equal(value, state[name].to(value.dtype))


def test_loading_draws_no_random_numbers(tmp_path):
    path = save(whole_state("test_efficientnet"), tmp_path / "w.safetensors")
    model = network("tu-test_efficientnet")
    before = torch.get_rng_state()
    load_weights(model, str(path))
    assert torch.equal(torch.get_rng_state(), before)


def test_timm_is_left_as_it_was(tmp_path):
    first = save(whole_state("test_convnext"), tmp_path / "w.safetensors")
    load_weights(network("tu-test_convnext"), str(first))
    again = timm.create_model(
        "test_convnext", pretrained=True, pretrained_cfg_overlay={"file": str(first)}
    )
    for name, value in load_file(first).items():
        assert torch.equal(again.state_dict()[name], value), name


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


# --- weights that do not fit ----------------------------------------------------------------------


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    state = encoder_state()
    state["model.layer2.0.conv1.weight"][1, 0, 2, 1] = value
    told = refusal(save(state, tmp_path / "w.safetensors"))
    assert "not finite in model.layer2.0.conv1.weight" in told


def test_names_of_a_hostile_file_stay_on_one_short_line(tmp_path):
    state = {f"a\n\x1b[31m{k}": torch.zeros(1) for k in range(9)} | {"b" * 9999: torch.zeros(1)}
    told = refusal(save(state, tmp_path / "w.pt"))
    assert "\x1b" not in told
    assert len(told) < 2000


# --- files that are no state dict -----------------------------------------------------------------


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("error")  # a user sees the refusal alone
@pytest.mark.parametrize("save_as", ["torch", "pickle"])
def test_code_in_a_file_is_refused_and_never_run(tmp_path, save_as):
    trace, path = tmp_path / "trace", tmp_path / "w.pt"
    content = {"weight": Intruder(trace)}
    if save_as == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError) as caught:
        read_state_dict(path)
    assert "weights_only" not in str(caught.value)  # torch's advice to run it is not passed on
    assert not trace.exists()
    pickle.loads(pickle.dumps(content))  # it would have been seen
    assert trace.exists()


def test_pickled_modules_tensors_are_read_and_nothing_else(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    torch.save(model, tmp_path / "w.pt")
    state = read_state_dict(tmp_path / "w.pt")
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_archive_is_refused_with_the_way_out(tmp_path):
    torch.jit.trace(nn.Conv2d(3, 1, 3), torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "w.pt"))
    with pytest.raises(UserError, match=r"TorchScript .*torch\.jit\.load\(path\)\.state_dict"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (torch.zeros(3), "holds a Tensor"),
        ([torch.zeros(3)], "holds a list"),
        ({"epoch": 3, "net": {"a": 1}}, "a dictionary of epoch, net"),
        ({1: torch.zeros(3)}, "a dictionary of 1"),
        ({"state_dict": {"a": 1}}, "a dictionary of a"),
    ],
)
def test_anything_but_named_tensors_is_refused(tmp_path, content, told):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match=f"{told} instead of a state dict.*torch.save") as caught:
        read_state_dict(tmp_path / "w.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_quantised_networks_state_dict_is_told_as_such(tmp_path):
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 4))
    quantised = torch.ao.quantization.quantize_dynamic(plain, {torch.nn.Linear})
    torch.save(quantised.state_dict(), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"holds 1\..* beside tensors, .*before it was quantised"):
        read_state_dict(tmp_path / "w.pt")


def header(shape, end):
    """A .safetensors file of 16 bytes of values that claims others."""
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("w.pt", b"not weights " * 50),
        ("w.pth", b"PK\x03\x04" + b"not weights " * 50),
        ("w.safetensors", b"not weights " * 50),
        ("w.safetensors", struct.pack("<Q", 2**62) + b"{}"),
        ("w.safetensors", header([2**40, 2**40], 16)),
        ("w.safetensors", header([2**40], 2**42)),
        ("w.safetensors", header([8], 32)),
    ],
)
def test_file_that_is_none_is_refused(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(
        UserError, match=r"damaged or cut short.*: save or fetch it again"
    ) as caught:
        read_state_dict(tmp_path / file)
    assert str(caught.value).startswith(str(tmp_path / file))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt", "old.pt"])
def test_file_that_was_cut_short_is_refused(tmp_path, file):
    path = tmp_path / file
    if file == "old.pt":
        torch.save(encoder_state(), path, _use_new_zipfile_serialization=False)
    else:
        save(encoder_state(), path)
    content = path.read_bytes()
    for part in (len(content) // 2, len(content) - 1, 100):
        path.write_bytes(content[:part])
        with pytest.raises(UserError, match="is damaged or cut short"):
            read_state_dict(path)


def test_compressed_archive_is_not_blown_up(tmp_path):
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as source,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
    assert (tmp_path / "bomb.pt").stat().st_size < 20_000
    with pytest.raises(UserError, match="is compressed"):
        read_state_dict(tmp_path / "bomb.pt")


@pytest.mark.parametrize("file", ["w.pt", "w.pth", "w.safetensors"])
def test_empty_absent_and_closed_files_are_told_apart(tmp_path, file):
    path = tmp_path / file
    with pytest.raises(UserError, match=r"cannot be opened.*No such file"):
        read_state_dict(path)
    path.touch()
    with pytest.raises(UserError, match="is empty"):
        read_state_dict(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"cannot be opened.*directory"):
        read_state_dict(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.eye(3).to_sparse(), "is sparse"),
        (torch.eye(3).to_sparse_csr(), "is sparse"),
        (torch.zeros(3, device="meta"), "has a shape but no values"),
        (torch.zeros(1).expand(10**6, 10**6), "claims more values than the file can hold"),
    ],
)
def test_tensor_that_is_not_plain_values_is_named(tmp_path, value, told):
    torch.save({"a": torch.zeros(2), "b": value}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=f"The tensor b of .*{told}"):
        read_state_dict(tmp_path / "w.pt")


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["absent.pt", "imagnet", "", "folder.pt", "weights.bin", "ResNet.a1"]
)
def test_unknown_weights_say_what_can_be_given(tmp_path, name):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "weights.bin").write_bytes(b"1")
    told = r"give 'pretext', 'imagenet', a name of timm.*, or the path of a \.safetensors"
    with pytest.raises(UserError, match=told):
        load_weights(network(), name, tmp_path)
    with pytest.raises(UserError, match=told):
        weights_identity(name, tmp_path)


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


def test_repacked_archive_is_refused_and_not_read_as_noise(tmp_path):
    torch.save({"weight": torch.randn(64, 64)}, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(UserError, match="is compressed"):
        read_state_dict(tmp_path / "packed.pt")
