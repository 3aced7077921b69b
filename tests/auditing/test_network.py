"""Networks of audits: every kind of file gives the network in memory, and none runs a pickle."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch
from audited_networks import (  # noqa: F401 - fixtures
    NAME,
    Payload,
    export,
    loaded,
    network,
    pickled,
    rewritten,
    same,
    stacks,
)
from safetensors.torch import save_file
from torch import Tensor, nn

import emsym
from emsym.auditing.inputs import AuditInputs
from emsym.auditing.network import load_network
from emsym.auditing.probe import at_rest, slices_of
from emsym.errors import UserError
from emsym.plugins import load_plugin

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


def plain(state: dict[str, Tensor]) -> dict:
    return state


def wrapped(state: dict[str, Tensor]) -> dict:
    return {"epoch": 3, "state_dict": {f"module.model.{k}": v for k, v in state.items()}}


def half(state: dict[str, Tensor]) -> dict:
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


def half_tensor_by_tensor(state: dict[str, Tensor]) -> dict:
    return {k: v.half() for k, v in state.items()}


@pytest.mark.parametrize("form", [plain, wrapped, half, half_tensor_by_tensor])
def test_a_state_dict_gives_the_network(form: Callable, model: nn.Module, tmp_path: Path) -> None:
    torch.save(form(model.state_dict()), tmp_path / "net.pt")
    found = loaded(tmp_path / "net.pt", NAME)
    assert (found.kind, found.architecture, found.slices) == ("state dict", NAME, 3)
    expected = model if form in (plain, wrapped) else copy.deepcopy(model).half().float()
    same(found.model, expected, stacks())


def test_as_many_slices_and_classes_as_the_weights_have(tmp_path: Path) -> None:
    model = network(classes=4)
    emsym.symmetrize(model, "rgb", 5)
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    found = loaded(str(tmp_path / "net.safetensors"), NAME)
    assert found.slices == 5
    assert found.model(stacks(slices=5)).shape[1] == 4
    same(found.model, model, stacks(slices=5))


def test_weights_that_were_saved_mirror_tied(model: nn.Module, tmp_path: Path) -> None:
    tied = copy.deepcopy(model)
    emsym.symmetrize(tied, "rgb+mirror-tied")
    assert any("parametrizations" in name for name in tied.state_dict())
    torch.save({f"model.{k}": v for k, v in tied.state_dict().items()}, tmp_path / "net.pth")
    found = loaded(tmp_path / "net.pth", NAME).model
    same(found, tied, stacks())
    torch.testing.assert_close(found(stacks()), found(stacks().flip(1)))


def test_torchscript(model: nn.Module, tmp_path: Path) -> None:
    torch.jit.trace(model, stacks()).save(tmp_path / "net.pt")
    found = loaded(tmp_path / "net.pt")
    assert (found.kind, slices_of(found)) == ("TorchScript", 3)
    same(found.model, model, stacks(3, size=96))


def test_torchscript_that_is_frozen_or_in_half_precision(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1)).eval()
    torch.jit.freeze(torch.jit.script(model)).save(tmp_path / "frozen.pt")
    torch.jit.script(copy.deepcopy(model).half()).save(tmp_path / "half.pt")
    for name, expected in (("frozen", model), ("half", copy.deepcopy(model).half().float())):
        found = loaded(tmp_path / f"{name}.pt").model
        with at_rest(found):
            torch.testing.assert_close(found(stacks()), expected(stacks()))


PLUGIN = """
import torch
from emsym import register_architecture

@register_architecture("trained-module")
def module():
    torch.manual_seed(0)
    return torch.nn.Conv2d(5, 1, 1)

@register_architecture("trained-function")
def function():
    return lambda x: x[:, :1] * 2

@register_architecture("failing")
def failing():
    raise RuntimeError("no weights here\\nand more")

@register_architecture("leaving")
def leaving():
    raise SystemExit(0)

@register_architecture("forgotten")
def forgotten():
    model = function()

@register_architecture("raising")
def raising():
    def run(x):
        raise ValueError("not today")
    return run
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert load_plugin(tmp_path / "mine.py")
    yield
    (tmp_path / "mine.py").write_text("")
    load_plugin(tmp_path / "mine.py")


@pytest.mark.usefixtures("plugin")
def test_the_name_of_a_plug_in() -> None:
    found = loaded("trained-module")
    assert (found.kind, found.architecture, slices_of(found)) == ("module", found.name, 5)
    function = loaded("trained-function")
    assert (function.kind, slices_of(function)) == ("callable", 3)
    assert torch.equal(function.model(stacks()), stacks()[:, :1] * 2)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("failing", r"The factory of 'failing' fails \(RuntimeError: no weights here\)\."),
        ("leaving", r"The factory of 'leaving' fails \(SystemExit: 0\)\."),
        ("forgotten", "The factory of 'forgotten' gives a NoneType instead of a torch.nn.Module"),
        ("raising", r"no stack of 3, .*\(ValueError with 3: not today\).*--slices"),
    ],
)
def test_a_plug_in_that_is_wrong_is_told(name: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        slices_of(loaded(name))


def test_a_module_in_another_precision_is_copied_not_changed() -> None:
    model = nn.Conv2d(3, 1, 1).double()
    found = loaded(model).model
    assert model.weight.dtype == torch.float64
    torch.testing.assert_close(found(stacks()), model(stacks().double()).float())
    single = nn.Conv2d(3, 1, 1)
    assert loaded(single).model is single


def test_weights_of_another_network(model: nn.Module, tmp_path: Path) -> None:
    state = model.state_dict()
    last = list(state)[-1]
    torch.save({k: v for k, v in state.items() if k != last}, tmp_path / "less.pt")
    torch.save(state | {"more.weight": torch.ones(1)}, tmp_path / "more.pt")
    for name, told in (("less", f"1 tensor missing \\({last}\\)"), ("more", "more.weight")):
        with pytest.raises(UserError, match=told):
            loaded(tmp_path / f"{name}.pt", NAME)
    with pytest.raises(UserError, match="does not hold the weights of unet-resnet18"):
        loaded(tmp_path / "less.pt", "unet-resnet18")


def test_two_networks_in_one_file(model: nn.Module, tmp_path: Path) -> None:
    both = {f"{at}.{k}": v for at in ("student", "teacher") for k, v in model.state_dict().items()}
    torch.save(both, tmp_path / "both.pt")
    with pytest.raises(UserError, match=r"2 networks, under student, teacher: .* --weights-key"):
        loaded(tmp_path / "both.pt", NAME)
    told = AuditInputs(tmp_path / "both.pt", "v", architecture=NAME, weights_key="teacher")
    same(load_network(told).model, model, stacks())


def test_a_state_dict_without_its_architecture(model: nn.Module, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "net.pt")
    with pytest.raises(UserError, match="--architecture"):
        loaded(tmp_path / "net.pt")
    with pytest.raises(UserError, match="did you mean"):
        loaded(tmp_path / "net.pt", "unet-resnet35")
    both = AuditInputs(tmp_path / "net.pt", "v", architecture=NAME, factory="mine.py:build")
    with pytest.raises(UserError, match="--architecture or --model, not both"):
        load_network(both)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("none.pt", "cannot be opened"),
        ("none.pt2", "cannot be opened"),
        ("no-such-thing", "no file no-such-thing, nor does a plug-in"),
        ("unet-resnet34", "without training"),
        (3, "not a int"),
    ],
)
def test_what_is_no_network(given: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        loaded(given)  # type: ignore[arg-type]


def test_weights_alone_are_asked_whose_they_are(model: nn.Module, tmp_path: Path) -> None:
    torch.save({"state_dict": model.state_dict()}, tmp_path / "net.ckpt")
    torch.save(model, tmp_path / "whole.pt")
    fits = f"say of which network, with --architecture {NAME}, as its tensors have the same names"
    for file, told in (
        ("net.ckpt", f"net.ckpt holds weights alone: {fits}"),
        ("whole.pt", rf"a pickled network \(segment.*Unet\), of which .* runs code: {fits}"),
        ("whole.pt", r"emsym\.audit\(torch\.load\(path, weights_only=False\), volume\)"),
    ):
        with pytest.raises(UserError, match=told):
            loaded(tmp_path / file)


def test_a_whole_network_needs_no_architecture(exported: Path) -> None:
    with pytest.raises(UserError, match="leave --architecture and --model out"):
        loaded(exported, NAME)


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
def test_torchscript_runs_no_pickle(member: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    torch.jit.script(nn.Conv2d(3, 1, 1)).save(tmp_path / "net.pt")
    bad = rewritten(
        tmp_path / "net.pt",
        tmp_path / "bad.pt",
        lambda name, data: pickled(marker) if name.endswith(f"/{member}") else data,
    )
    with pytest.raises(UserError, match="TorchScript") as error:
        loaded(bad)
    assert "\n" not in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize("given", ["v.tif", "v.tif:0", "v.h5", "v.h5:raw"])
def test_an_image_file_is_told_that_the_network_comes_first(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("v.tif", np.zeros((5, 8, 8), np.uint8), photometric="minisblack")
    with h5py.File("v.h5", "w") as file:
        file["raw"] = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(UserError, match=rf"^{given} is .*The network comes first, and then the v"):
        loaded(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_folder_of_sections_is_told_that_the_network_comes_first(
    ending: str, tmp_path: Path
) -> None:
    for z in range(3):
        (tmp_path / f"z{z}.{ending}").touch()
    for name in ("Thumbs.db", ".hidden", ".too", ".three"):
        (tmp_path / name).touch()
    for architecture in (None, NAME):
        with pytest.raises(UserError) as error:
            loaded(tmp_path, architecture)
        assert str(error.value) == (
            f"{tmp_path} is a folder of images, and no network: give the network first, and then "
            "the volume."
        )


def test_pictures_beside_weights_are_no_volume(tmp_path: Path) -> None:
    for name in ("loss.png", "epoch-1.weights", "epoch-2.weights"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="give the file of the network or its weights"):
        loaded(tmp_path)
    for name in ("a.png", "b.png", "c.png", "model.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is no JSON"):
        loaded(tmp_path)


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(UserError, match=r"folder\.pt is a folder of nothing, and none that"):
        loaded(tmp_path / "folder.pt", NAME)

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "mine.pt").touch()
    monkeypatch.setattr("pooch.file_hash", refused)  # as root may read everything
    with pytest.raises(UserError, match=r"cannot be opened \(Permission denied\)"):
        loaded(tmp_path / "mine.pt", NAME)
