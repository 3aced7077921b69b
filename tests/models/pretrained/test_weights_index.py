"""Weights in several files are read by their index, which leads to no file elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emsym.errors import UserError
from emsym.models.packaged.open_package import open_package
from emsym.models.pretrained.checkpoint import read_checkpoint, write_checkpoint
from emsym.models.pretrained.weights_index import INDEX, weights_files

STATE = {f"{n}.weight": torch.full((2, 3), float(n)) for n in range(4)}


def sharded(folder: Path, suffix: str = ".safetensors", **changed: object) -> Path:
    """Two files of two tensors each, and their index."""
    folder.mkdir(exist_ok=True)
    table = {}
    for number, names in enumerate((["0.weight", "3.weight"], ["1.weight", "2.weight"])):
        part = {name: STATE[name] for name in names}
        file = folder / f"part-{number}{suffix}"
        save_file(part, file) if suffix == ".safetensors" else torch.save(part, file)
        table |= dict.fromkeys(names, file.name)
    index = folder / f"model{suffix}{INDEX}"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table | changed}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_an_index_gives_all_tensors(tmp_path: Path, suffix: str) -> None:
    index = sharded(tmp_path, suffix)
    checkpoint = read_checkpoint(index)
    assert checkpoint.state.keys() == STATE.keys()
    assert all(torch.equal(checkpoint.state[name], STATE[name]) for name in STATE)
    assert [file.name for file in weights_files(index)] == [f"part-0{suffix}", f"part-1{suffix}"]
    write_checkpoint(checkpoint, {"1.weight": torch.zeros(2, 3)}, tmp_path / "one.safetensors")
    assert load_file(tmp_path / "one.safetensors")["1.weight"].sum() == 0
    with pytest.raises(UserError, match="must end in"):
        write_checkpoint(checkpoint, {}, tmp_path / "one.json")


def test_a_folder_with_an_index_is_found(tmp_path: Path) -> None:
    index = sharded(tmp_path).rename(tmp_path / f"model.safetensors{INDEX}")
    (tmp_path / "config.json").write_text("{}")
    with open_package(tmp_path, own=True) as package:
        assert package.file == index


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "sub/part.safetensors", "..", "link", ""]
)
def test_no_file_elsewhere_is_read(tmp_path: Path, name: str) -> None:
    save_file(STATE, tmp_path / "outside.safetensors")
    index = sharded(tmp_path / "net", **{"1.weight": name})
    (tmp_path / "net" / "sub").mkdir()
    save_file(STATE, tmp_path / "net/sub/part.safetensors")
    (tmp_path / "net/link").symlink_to(tmp_path / "outside.safetensors")
    with pytest.raises(UserError, match=r"which leads out of its folder|which is not beside it"):
        read_checkpoint(index)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no JSON", r"is no JSON"),
        ("[" * 10**5, r"is no JSON"),
        ("[]", "is no index of weights"),
        ('{"weight_map": {}}', "is no index of weights"),
        ('{"weight_map": {"a": 1}}', "is no index of weights"),
        ('{"weight_map": {"a": "none.safetensors"}}', "which is not beside it"),
        (f'{{"weight_map": {{"a": "x{INDEX}"}}}}', "which is not beside it"),
        ('{"weight_map": {"9.weight": "part-0.safetensors"}}', r"has no tensor 9\.weight"),
        (json.dumps({"weight_map": {str(n): str(n) for n in range(1001)}}), "names 1,001 files"),
    ],
)
def test_an_index_that_is_none_is_one_sentence(tmp_path: Path, content: str, told: str) -> None:
    sharded(tmp_path).rename(tmp_path / f"x{INDEX}")
    (tmp_path / f"y{INDEX}").write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        read_checkpoint(tmp_path / f"y{INDEX}")
    assert "\n" not in str(caught.value)


def test_files_with_objects_beside_tensors_are_told(tmp_path: Path) -> None:
    index = sharded(tmp_path, ".bin")
    torch.save({"1.weight": STATE["1.weight"], "2.weight": STATE["2.weight"]}, tmp_path / "x")
    torch.save({"state_dict": torch.load(tmp_path / "x"), "best": np.float64(1)}, tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / "part-1.bin")
    assert not read_checkpoint(index).whole
