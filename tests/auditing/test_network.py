"""Networks of audits: every kind of file gives the network in memory, and none runs a pickle."""

import copy
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import emsym
from emsym.auditing.exported_program import read_exported
from emsym.auditing.inputs import AuditInputs
from emsym.auditing.network import Loaded, at_rest, load_network, slices_of
from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES
from emsym.plugins import load_plugin

NAME = "unet-tu-test_resnet"


pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


def network(classes: int = 1) -> nn.Module:
    torch.manual_seed(0)
    model = ARCHITECTURES.get(NAME)(classes).eval()
    for module in model.modules():  # fresh ones forget themselves in a parity test
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network()


def loaded(network: object, architecture: str | None = None) -> Loaded:
    return load_network(AuditInputs(network, "no volume", architecture=architecture))


def stacks(count: int = 2, slices: int = 3, size: int = 64) -> Tensor:
    return torch.randn(count, slices, size, size, generator=torch.Generator().manual_seed(1))


def same(found: nn.Module, expected: nn.Module, x: Tensor) -> None:
    """The same answer and the same gradient."""
    x = x.requires_grad_()
    ours, theirs = found.eval()(x), expected.eval()(x)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        *(torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs)), atol=1e-4, rtol=1e-4
    )


def export(model: nn.Module, path: Path, dynamic: bool = True, batch: int = 2) -> Path:
    d = torch.export.Dim
    shapes = ({0: d("n"), 2: 32 * d("h"), 3: 32 * d("w")},) if dynamic else None
    program = torch.export.export(model, (stacks(batch),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def exported(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(model, tmp_path_factory.mktemp("exported") / "net.pt2")


def plain(state: dict[str, Tensor]) -> dict:
    return state


def wrapped(state: dict[str, Tensor]) -> dict:
    return {"epoch": 3, "state_dict": {f"module.model.{k}": v for k, v in state.items()}}


def half(state: dict[str, Tensor]) -> dict:
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


# --- every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [plain, wrapped, half])
def test_a_state_dict_gives_the_network(form: Callable, model: nn.Module, tmp_path: Path) -> None:
    torch.save(form(model.state_dict()), tmp_path / "net.pt")
    found = loaded(tmp_path / "net.pt", NAME)
    assert (found.kind, found.architecture, found.slices) == ("state dict", NAME, 3)
    expected = copy.deepcopy(model).half().float() if form is half else model
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


def test_a_program_of_torch_export(model: nn.Module, exported: Path) -> None:
    found = loaded(exported)
    assert (found.kind, found.slices, found.size) == ("torch.export", 3, (None, None))
    same(found.model, model, stacks(3, size=96))
    assert torch.equal(found.model(stacks()), torch.export.load(exported).module()(stacks()))


def test_a_program_for_one_size_and_batch(model: nn.Module, tmp_path: Path) -> None:
    found = loaded(export(model, tmp_path / "net.pt2", dynamic=False))
    assert found.size == (64, 64)
    same(found.model, model, stacks(5))  # in batches of two, the last one filled up
    with pytest.raises(UserError, match="takes stacks of 3 × 64 × 64"):
        found.model(stacks(size=96))


@pytest.mark.parametrize(
    "name",
    ["fpn-tu-test_resnet", pytest.param("linknet-tu-test_efficientnet", marks=pytest.mark.slow)],
)
def test_a_decomposed_program(name: str, tmp_path: Path) -> None:
    model = ARCHITECTURES.get(name)().eval()
    program = torch.export.export(model, (stacks(),)).run_decompositions()
    torch.export.save(program, tmp_path / "net.pt2")
    same(loaded(tmp_path / "net.pt2").model, model, stacks())


def test_a_program_in_half_precision_is_run_in_float32(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1)).half().eval()
    program = torch.export.export(model, (stacks().half(),))
    torch.export.save(program, tmp_path / "net.pt2")
    same(loaded(tmp_path / "net.pt2").model, copy.deepcopy(model).float(), stacks())


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


def test_an_audited_network_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(), nn.BatchNorm2d(4)).train()
    model[2].eval()
    model[0].weight.requires_grad_(False)
    with at_rest(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [m.training for m in model] == [True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


# --- mistakes -------------------------------------------------------------------------------------


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
    with pytest.raises(UserError, match="2 networks, under student, teacher"):
        loaded(tmp_path / "both.pt", NAME)


def test_a_state_dict_without_its_architecture(model: nn.Module, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "net.pt")
    with pytest.raises(UserError, match="--architecture"):
        loaded(tmp_path / "net.pt")
    with pytest.raises(UserError, match="did you mean"):
        loaded(tmp_path / "net.pt", "unet-resnet35")


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


def test_a_whole_network_needs_no_architecture(exported: Path) -> None:
    with pytest.raises(UserError, match="leave --architecture and --model out"):
        loaded(exported, NAME)


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :1] * 2, x[:, 1:] * 3


class Both(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x[:, :1] * y


@pytest.mark.parametrize(
    ("model", "inputs", "told"),
    [
        (Two(), 1, "gives 2 values"),
        (Both(), 2, "takes 2 inputs"),
        (nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1)).train(), 1, "training mode"),
    ],
)
def test_programs_that_cannot_be_audited(
    model: nn.Module, inputs: int, told: str, tmp_path: Path
) -> None:
    torch.export.save(torch.export.export(model, (stacks(),) * inputs), tmp_path / "net.pt2")
    with pytest.raises(UserError, match=told):
        loaded(tmp_path / "net.pt2")


# --- hostile files --------------------------------------------------------------------------------


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def pickled(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def rewritten(source: Path, target: Path, changed: Callable[[str, bytes], bytes]) -> Path:
    """The same archive, with what its members hold changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed(name, old.read(name)))
    return target


def test_a_payload_works_where_pickles_are_loaded(tmp_path: Path) -> None:
    pickle.loads(pickled(tmp_path / "marker"))
    assert (tmp_path / "marker").is_dir()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ts", ".pt2", ".safetensors"])
@pytest.mark.parametrize("archived", [False, True])
def test_no_pickle_is_run(suffix: str, archived: bool, tmp_path: Path) -> None:
    path, marker = tmp_path / f"net{suffix}", tmp_path / "marker"
    if archived:
        torch.save({"state_dict": Payload(marker)}, path)
    else:
        path.write_bytes(pickled(marker))
    with pytest.raises(UserError) as error:
        loaded(path, NAME)
    assert "\n" not in str(error.value)
    assert not marker.exists()


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


def saved(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(marker), buffer)
    return buffer.getvalue()


def test_a_programs_sample_inputs_are_never_read(exported: Path, tmp_path: Path) -> None:
    """Which torch.export.load unpickles whatever they are."""
    marker = tmp_path / "marker"
    bad = rewritten(
        exported,
        tmp_path / "bad.pt2",
        lambda name, data: saved(marker) if "sample_inputs" in name else data,
    )
    loaded(bad).model(stacks())
    assert not marker.exists()


def test_a_programs_pickled_weights_are_refused(exported: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def change(name: str, data: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            content = json.loads(data)
            next(iter(content["config"].values()))["use_pickle"] = True
            return json.dumps(content).encode()
        return saved(marker) if name.endswith("/weight_0") else data

    with pytest.raises(UserError, match="as a pickle, and is refused"):
        loaded(rewritten(exported, tmp_path / "bad.pt2", change))
    assert not marker.exists()


def spoiled(exported: Path, target: Path, change: Callable[[dict], object]) -> Path:
    def changed(name: str, data: bytes) -> bytes:
        if "/models/" not in name:
            return data
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return rewritten(exported, target, changed)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.load_library",
        "torch.ops.aten.__class__.mro",
        "torch.ops.quantized.add.default",
        "_operator.methodcaller",
        "math.__loader__.load_module",
        "builtins.eval",
        "#aoti",
    ],
)
def test_a_program_calls_operators_on_tensors_alone(
    target: str, exported: Path, tmp_path: Path
) -> None:
    def change(content: dict) -> None:
        content["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(UserError, match="only PyTorch's own operators"):
        loaded(spoiled(exported, tmp_path / "bad.pt2", change))


def test_a_programs_expressions_are_never_evaluated(exported: Path, tmp_path: Path) -> None:
    """torch.export.load hands them to sympy, which evaluates them as Python."""
    marker = tmp_path / "marker"
    code = f"__import__('os').mkdir({str(marker)!r})"

    def change(content: dict) -> None:
        def walk(value: object) -> None:
            if isinstance(value, dict):
                if "expr_str" in value:
                    value["expr_str"] = code
                for inner in value.values():
                    walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    walk(inner)

        walk(content)
        content["guards_code"] = [code]
        content["range_constraints"] = {code: {"min_val": 0, "max_val": 9}}

    loaded(spoiled(exported, tmp_path / "bad.pt2", change)).model(stacks())
    assert not marker.exists()


def test_compiled_code_is_refused(exported: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt2"
    shutil.copy(exported, bad)
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr("net/data/aotinductor/model/net.so", b"machine code")
    with pytest.raises(UserError, match="compiled machine code"):
        read_exported(bad)


def test_a_damaged_program(exported: Path, tmp_path: Path) -> None:
    def claims(name: str, data: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return data
        content = json.loads(data)
        meta = next(iter(content["config"].values()))["tensor_meta"]
        meta["sizes"], meta["strides"] = [{"as_int": 10**12}], [{"as_int": 0}]
        return json.dumps(content).encode()

    with pytest.raises(UserError, match="claims more values"):
        loaded(rewritten(exported, tmp_path / "big.pt2", claims))

    def empties(name: str, data: bytes) -> bytes:
        return b"" if name.endswith("/weight_0") else claims(name, data)

    with pytest.raises(UserError, match="claims more values"):
        loaded(rewritten(exported, tmp_path / "empty.pt2", empties))
    none = rewritten(exported, tmp_path / "none.pt2", lambda n, d: b"{" if "models" in n else d)
    with pytest.raises(UserError, match="damaged") as error:
        loaded(none)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".pt", ".pt2", ".ts"])
def test_an_archive_cut_in_its_directory(suffix: str, exported: Path, tmp_path: Path) -> None:
    """Its end says that it is an archive, of members that are not there."""
    data = exported.read_bytes()
    (tmp_path / f"net{suffix}").write_bytes(data[-200:])
    with pytest.raises(UserError, match="damaged or cut short") as error:
        loaded(tmp_path / f"net{suffix}", NAME)
    assert "\n" not in str(error.value)


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(UserError, match="cannot be opened"):
        loaded(tmp_path / "folder.pt", NAME)

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "mine.pt").touch()
    monkeypatch.setattr("pooch.file_hash", refused)  # as root may read everything
    with pytest.raises(UserError, match=r"cannot be opened \(Permission denied\)"):
        loaded(tmp_path / "mine.pt", NAME)


@pytest.mark.slow
def test_what_torch_export_load_would_have_run(exported: Path, tmp_path: Path) -> None:
    """Where this fails, PyTorch has become safe, and `exported` may go."""
    marker = tmp_path / "marker"
    bad = rewritten(
        exported,
        tmp_path / "bad.pt2",
        lambda name, data: saved(marker) if "sample_inputs" in name else data,
    )
    script = f"import torch; torch.export.load({str(bad)!r})"
    subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert marker.exists()
