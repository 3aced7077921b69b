"""A licence is told where the weights' own file names it, and nowhere else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from emsym.models.pretrained.licence import licence_of_file


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"license": "apache-2.0"}, "apache-2.0"),
        ({"licence": "CC BY 4.0"}, "CC BY 4.0"),
        ({"license": "MIT\nand more"}, "MIT and more"),
        ({"license": "x" * 500}, "x" * 80),
        ({"author": "somebody"}, None),
        (None, None),
    ],
)
def test_of_a_file(tmp_path: Path, metadata: dict | None, told: str | None) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata)
    assert licence_of_file(path) == told


def test_files_without_a_place_for_it_or_that_are_broken_have_none(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"1")
    (tmp_path / "w.safetensors").write_bytes(b"1")
    assert licence_of_file(tmp_path / "w.pt") is None
    assert licence_of_file(tmp_path / "w.safetensors") is None
