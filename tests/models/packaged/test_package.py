"""Descriptions are read within bounds, and believed as far as their weights bear them out."""

from pathlib import Path

import pytest
from torch import nn

from emsym.errors import UserError
from emsym.models.packaged.package import LARGEST_TEXT, check_size, read_description


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[1]", "holds no JSON object"),
        (b" " * (LARGEST_TEXT + 1), "larger than any description"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_description(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_description(path)


def test_a_network_larger_than_its_weights_is_not_built(tmp_path: Path) -> None:
    weights = tmp_path / "net.pt"
    weights.write_bytes(bytes(100))
    check_size(lambda: nn.Linear(3, 3), weights, tmp_path)
    with pytest.raises(UserError, match="10,000,100,000 parameters, more than"):
        check_size(lambda: nn.Linear(100_000, 100_000), weights, tmp_path)
