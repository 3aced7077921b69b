"""MRC files as microscopes and IMOD write them."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from stored_arrays import refusal

from emsym.data.reading.readers import open_array

VALUES = np.arange(-60, 60, dtype=np.int8).reshape(4, 5, 6)


def write(
    path: Path, values: np.ndarray, order: tuple[int, int, int] = (1, 2, 3), **header
) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(values)
        file.header.mapc, file.header.mapr, file.header.maps = order
        for name, value in header.items():
            file.header[name] = value
    return path


@pytest.mark.parametrize(
    ("order", "axes"), [((1, 2, 3), "zyx"), ((3, 2, 1), "xyz"), ((0, 0, 0), "zyx")]
)
def test_axes_are_as_the_header_says(tmp_path: Path, order: tuple, axes: str) -> None:
    with open_array(write(tmp_path / "a.mrc", VALUES.astype("f4"), order)) as array:
        assert array.axes == axes
        np.testing.assert_array_equal(array[:, 1:, :2], VALUES[:, 1:, :2])


@pytest.mark.parametrize(("flags", "dtype"), [(0, np.uint8), (1, np.int8)])
def test_bytes_of_imod_have_a_sign_only_where_it_says_so(
    tmp_path: Path, flags: int, dtype: type
) -> None:
    extra = np.zeros(100, np.uint8)
    extra[40:48] = np.frombuffer(np.array([1146047817, flags], "<i4").tobytes(), np.uint8)
    path = write(tmp_path / "a.mrc", VALUES, extra2=np.void(extra.tobytes()))
    with open_array(path) as array:
        assert array.dtype == dtype
        np.testing.assert_array_equal(array[:, :, :], VALUES.view(dtype))


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", VALUES)
    path.write_bytes(path.read_bytes()[:-10])
    assert "cannot be read" in refusal(path)
