"""What lies at a path is told by its content, and a folder of nothing known by what it holds."""

import json
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.models.packaged.open_package import open_package


def test_a_file_that_nothing_describes_is_a_package_of_itself(tmp_path: Path) -> None:
    for name in ("net.pt", "model.safetensors", "none.pt"):
        if name != "none.pt":
            (tmp_path / name).touch()
        with open_package(tmp_path / name) as package:
            assert (package.file, package.factory, package.load) == (tmp_path / name, None, None)
    (tmp_path / "config.json").write_text(json.dumps({"lr": 1e-3}))
    with open_package(tmp_path / "model.safetensors") as package:
        assert package.factory is None


def test_weights_alone_are_wanted_where_the_user_tells_the_network(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("no JSON")
    (tmp_path / "model.safetensors").touch()
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with open_package(path, own=True) as package:
            assert package.file == tmp_path / "model.safetensors"
        with pytest.raises(UserError, match=r"config\.json is no JSON"), open_package(path):
            pass


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "is a folder of nothing, and none that save_pretrained"),
        (["a.txt", "b.txt"], r"is a folder of a\.txt, b\.txt, and none"),
        (["saved_model.pb"], "is a Keras network; emsym reads PyTorch and ONNX"),
        (["model.safetensors"], r"is a folder of model\.safetensors, and none"),
    ],
)
def test_folders_of_nothing_known(names: list[str], told: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=told), open_package(tmp_path):
        pass
