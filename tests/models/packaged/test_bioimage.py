"""Packages of bioimage.io are read by their description, and hostile ones are refused."""

import copy
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from emsym.errors import UserError
from emsym.models.packaged.bioimage import bioimage_package

OLDER = {
    "format_version": "0.4.10",
    "inputs": [
        {
            "name": "raw",
            "axes": "bcyx",
            "shape": {"min": [1, 3, 64, 64], "step": [0, 0, 32, 32]},
            "preprocessing": [
                {
                    "name": "zero_mean_unit_variance",
                    "kwargs": {"mode": "fixed", "axes": "yx", "mean": 120.0, "std": 30.0},
                }
            ],
        }
    ],
    "outputs": [{"name": "p", "axes": "bcyx", "postprocessing": [{"name": "sigmoid"}]}],
    "weights": {
        "pytorch_state_dict": {"source": "weights.pt", "architecture": "arch.py:Net"},
        "torchscript": {"source": "net.pt"},
    },
}
CHANNEL = {"type": "channel", "channel_names": ["before", "here", "after"]}
SPACE = [{"type": "space", "id": "y", "size": {"min": 64, "step": 32}}, {"type": "space"}]
TYPED = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
NEWER = {
    "format_version": "0.5.3",
    "inputs": [
        {"id": "raw", "axes": [{"type": "batch"}, CHANNEL, *SPACE], "preprocessing": [TYPED]}
    ],
    "outputs": [
        {
            "id": "p",
            "axes": [{"type": "batch"}, CHANNEL, *SPACE],
            "data": {"type": "float32", "range": [0.0, 1.0]},
            "postprocessing": [TYPED],
        }
    ],
    "weights": {"torchscript": {"source": "net.pt"}},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("weights")
    model = nn.Conv2d(3, 1, 1)
    torch.jit.script(model).save(folder / "net.pt")
    torch.save(model.state_dict(), folder / "weights.pt")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def packed(path: Path, description: object, files: dict[str, bytes]) -> Path:
    text = description if isinstance(description, str) else yaml.safe_dump(description)
    members = {"rdf.yaml": text.encode(), "arch.py": b"raise SystemExit('run')", **files}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path
    path.mkdir()
    for name, content in members.items():
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("place", ["net.zip", "net", "net/rdf.yaml"])
def test_the_program_of_a_package_is_taken(place: str, tmp_path: Path, weights: dict) -> None:
    packed(tmp_path / place.partition("/")[0], OLDER, weights)
    package = bioimage_package(tmp_path / place, False, tmp_path)
    assert package is not None
    assert package.file.read_bytes() == weights["net.pt"]
    assert (package.slices, package.factory, package.load) == (3, None, None)
    grey, activation = package.options
    assert grey.values == pytest.approx({"mean": 120, "sd": 30})
    assert activation.values == {"activation": "sigmoid", "probabilities": None}
    state = bioimage_package(tmp_path / place, True, tmp_path)
    assert state is not None
    assert state.file.read_bytes() == weights["weights.pt"]


def test_the_newer_format(tmp_path: Path, weights: dict) -> None:
    path = packed(tmp_path / "net.zip", NEWER, weights)
    package = bioimage_package(path, False, tmp_path)
    assert package is not None
    assert package.slices == 3
    assert [option.values for option in package.options] == [
        {"mean": 0, "sd": 1},
        {"activation": "none", "probabilities": None},
    ]


def test_the_plain_one_of_several_descriptions_is_read(tmp_path: Path, weights: dict) -> None:
    files = weights | {"older.rdf.yaml": b"none"}
    assert bioimage_package(packed(tmp_path / "net", OLDER, files), False, tmp_path) is not None
    (tmp_path / "net" / "bioimageio.yaml").touch()
    assert bioimage_package(tmp_path / "net", False, tmp_path) is None


def test_what_is_no_package(tmp_path: Path, weights: dict) -> None:
    (tmp_path / "net.pt").write_bytes(weights["net.pt"])
    for path in (tmp_path, tmp_path / "net.pt", tmp_path / "none.zip"):
        assert bioimage_package(path, False, tmp_path) is None


def changed(key: str, value: object) -> dict:
    """The older description with another value under a path of keys."""
    description = copy.deepcopy(OLDER)
    *path, last = [int(each) if each.isdigit() else each for each in key.split(".")]
    place: dict = description
    for each in path:
        place = place[each]
    place[last] = value
    return description


BOMB = "a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b]}\n"


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (changed("inputs.0.axes", "bczyx"), "describes a 3D network"),
        (changed("inputs.0.axes", "byxc"), "a network of other input .*: give --model FILE.py"),
        (changed("inputs.0.axes", "bcxy"), r"\(axes bcxy\).* with its axes in that order"),
        (changed("outputs.0.axes", "bcxy"), r"an output with the axes bcxy, .*: give --model"),
        (changed("outputs.0.axes", "bczyx"), "an output with the axes bczyx"),
        (changed("inputs", OLDER["inputs"] * 2), "a network of other input"),
        (changed("inputs", OLDER["inputs"] * 99), "'inputs'"),
        (changed("weights", {"pytorch_state_dict": {"source": "w.pt"}}), "--model FILE.py:NAME"),
        (changed("weights", {"keras_hdf5": {"source": "w.h5"}}), "holds keras_hdf5, and emsym"),
        (changed("weights.torchscript.source", "https://x.org/n.pt"), "nothing is fetched"),
        (changed("weights.torchscript.source", "../net.pt"), "outside of it"),
        (changed("weights.torchscript.source", "/etc/passwd"), "outside of it"),
        (changed("weights.torchscript.source", "none.pt"), "none.pt"),
        (changed("weights.torchscript.sha256", "0" * 64), "by its SHA-256"),
        (changed("weights.torchscript", 3), "'weights.torchscript'|'weights"),
        ("- a list", "describes no network"),
        ("{", "no valid YAML"),
        ("[" * 1000, "no valid YAML"),
        (BOMB, "it merges mappings"),
        ("!!python/object/apply:os.mkdir [ran]", "no valid YAML"),
    ],
)
@pytest.mark.parametrize("place", ["net.zip", "net"])
def test_what_cannot_be_read_is_told(
    place: str, description: object, told: str, tmp_path: Path, weights: dict
) -> None:
    path = packed(tmp_path / place, description, weights)
    with pytest.raises(UserError, match=told) as error:
        bioimage_package(path, False, tmp_path)
    assert "\n" not in str(error.value)


def test_an_onnx_file_may_keep_its_weights_in_another(tmp_path: Path) -> None:
    description = changed("weights", {"onnx": {"source": "net.onnx"}})
    files = {"net.onnx": b"graph", "net.onnx.data": b"values"}
    (tmp_path / "aside").mkdir()
    package = bioimage_package(
        packed(tmp_path / "net.zip", description, files), False, tmp_path / "aside"
    )
    assert package is not None
    assert package.file.read_bytes() == b"graph"
    assert (package.file.parent / "net.onnx.data").read_bytes() == b"values"


def test_weights_that_are_described_by_their_digest(tmp_path: Path, weights: dict) -> None:
    digest = hashlib.sha256(weights["net.pt"]).hexdigest().upper()
    path = packed(tmp_path / "n.zip", changed("weights.torchscript.sha256", digest), weights)
    assert bioimage_package(path, False, tmp_path) is not None


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, weights: dict) -> None:
    (tmp_path / "secret.pt").write_bytes(weights["net.pt"])
    path = packed(tmp_path / "net", OLDER, {})
    os.symlink(tmp_path / "secret.pt", path / "net.pt")
    with pytest.raises(UserError, match="is not beside it"):
        bioimage_package(path, False, tmp_path)
