"""NRRD files, whose header may name axes, and may not name other files."""

from pathlib import Path

import nrrd
import numpy as np
import pytest
from stored_arrays import refusal

from emsym.data.reading.readers import open_array

VALUES = np.arange(120, dtype=np.uint16).reshape(4, 5, 6)


@pytest.mark.parametrize(
    ("header", "axes"),
    [
        ({"labels": ["x", "y", "z"]}, "zyx"),
        ({"labels": ["z", "y", "x"]}, "xyz"),
        ({"kinds": ["domain", "domain", "domain"]}, "zyx"),
        ({"kinds": ["list", "domain", "domain"]}, "yxc"),
        ({"kinds": ["domain", "domain", "time"]}, "tyx"),
        ({}, "???"),
    ],
)
def test_axes_are_by_labels_or_else_by_kinds(tmp_path: Path, header: dict, axes: str) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES, header, index_order="C")
    with open_array(tmp_path / "a.nrrd") as array:
        assert array.axes == axes
        np.testing.assert_array_equal(array[1:, :, :2], VALUES[1:, :, :2])


def test_data_in_another_file_are_not_read(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "a.nhdr"), VALUES, index_order="C", detached_header=True)
    (tmp_path / "a.nhdr").rename(tmp_path / "a.nrrd")
    assert "its data lie in another file; save both as one .nrrd" in refusal(tmp_path / "a.nrrd")
