"""Programs of torch.export are run without unpickling anything, or refused."""

import copy
import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
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
from torch import Tensor, nn

from emsym.auditing.exported_program import read_exported
from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


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
