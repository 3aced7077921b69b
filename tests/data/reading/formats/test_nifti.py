"""NIfTI files, plain and compressed, alone and in an archive."""

import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from stored_arrays import refusal

from emsym.data.reading.readers import find_files, open_array

VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6)


def write(path: Path, kind: type = nibabel.Nifti1Image, slope: float = 1) -> Path:
    image = kind(VALUES.T, np.eye(4))
    image.header.set_slope_inter(slope, 0)
    nibabel.save(image, path)
    return path


def test_axes_are_x_y_z_and_a_box_is_read(tmp_path: Path) -> None:
    with open_array(write(tmp_path / "a.nii")) as array:
        assert (array.axes, array.dtype, array.notes) == ("xyz", np.int16, ())
        np.testing.assert_array_equal(array[1:3, :, 2:], VALUES.T[1:3, :, 2:])


def test_the_scale_of_the_header_counts_and_is_told(tmp_path: Path) -> None:
    with open_array(write(tmp_path / "a.nii", slope=0.5)) as array:
        assert array.dtype == np.float64
        assert "stored numbers × 0.5 + 0" in array.notes[0]
        stored = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj.get_unscaled())
        np.testing.assert_allclose(array[:, :, :], 0.5 * stored)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_either_version_is_read_inside_an_archive(tmp_path: Path, kind: type, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", kind)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, path.name)
    (member,) = find_files(tmp_path, f"all.zip/{path.name}")
    with open_array(member) as array:
        np.testing.assert_array_equal(array[:, :, :], VALUES.T)


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"x" * 400)
    assert "cannot be read" in refusal(tmp_path / "a.nii")
