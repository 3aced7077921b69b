"""Files of weights are read without running what is in them, or refused in one sentence."""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from weights_files import encoder_state, save

from emsym.errors import UserError
from emsym.models.pretrained.checkpoint import read_checkpoint, read_state_dict


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def header(shape, end):
    """A .safetensors file of 16 bytes of values that claims others."""
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


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
    torch.save({"epoch": 3, "net": model}, tmp_path / "within.pt")
    torch.save({"best": np.float64(1), "net": model.state_dict()}, tmp_path / "beside.pt")
    for file, pickled in (("w.pt", True), ("within.pt", True), ("beside.pt", False)):
        checkpoint = read_checkpoint(tmp_path / file)
        kind = "torch.nn.modules.container.Sequential"
        assert (checkpoint.whole, checkpoint.pickled) == (False, kind if pickled else "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_archive_is_refused_with_the_way_out(tmp_path):
    torch.jit.trace(nn.Conv2d(3, 1, 3), torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "w.pt"))
    with pytest.raises(UserError, match=r"TorchScript .*torch\.jit\.load\(path\)\.state_dict"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "member", "told"),
    [
        ("net.keras", "model.weights.h5", r"is a Keras network; emsym reads PyTorch and ONNX\."),
        ("net.zip", "model/net.pt", "is an archive of other files: unpack it"),
        ("net.h5", None, r"is a Keras network; emsym reads PyTorch and ONNX\."),
        ("net.hdf5", None, "is an HDF5 file; where it is a Keras network"),
    ],
)
def test_files_of_other_kinds_are_called_by_their_names(tmp_path, name, member, told):
    path = tmp_path / name
    if member is None:
        path.write_bytes(b"\x89HDF\r\n\x1a\n")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, b"")
    with pytest.raises(UserError, match=told):
        read_state_dict(path)


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


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.ckpt"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
    ],
)
def test_what_was_fetched_instead_of_a_file_is_told(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is {told}, "):
        read_state_dict(tmp_path / name)


def test_one_of_several_networks_in_a_state_dict_is_told_by_the_prefix_of_its_names(tmp_path):
    state = {f"{at}.weight": torch.full((1,), float(at == "teacher")) for at in ("net", "teacher")}
    path = save({"epoch": 3, "state_dict": state}, tmp_path / "w.pt")
    for key in ("teacher", "state_dict.teacher"):
        assert read_checkpoint(path, key).state == {"weight": torch.ones(1)}
    assert read_checkpoint(path, "state_dict").state.keys() == state.keys()
    with pytest.raises(UserError, match="no weights under 'teach': there are state_dict"):
        read_checkpoint(path, "teach")
    averaged = {name: value + 1 for name, value in state.items()}
    path = save({"state_dict": state, "ema": averaged}, tmp_path / "averaged.pt")
    with pytest.raises(UserError, match=r"under 'teacher': say state_dict\.teacher, ema\.teacher"):
        read_checkpoint(path, "teacher")
    assert read_checkpoint(path, "ema.teacher").state == {"weight": torch.full((1,), 2.0)}
