"""``FILE:KEY`` is split for the formats that hold several arrays, and for no others."""

import pytest

from emsym.data.reading.file_key import missing_key, split_file_key


@pytest.mark.parametrize("file", ["a.h5", "b/c d.hdf5", "a.hdf", "a.zarr", "a.zarr.zip", "C:/a.h5"])
def test_a_key_follows_a_file_that_holds_several_arrays(file: str) -> None:
    assert split_file_key(file) == (file, None)
    assert split_file_key(f"{file}:volumes/raw") == (file, "volumes/raw")


@pytest.mark.parametrize("path", ["a.tif:raw", "a.h5:", "a.h5:b:c", "a.h5:b\\c", "a.zip:raw"])
def test_other_colons_belong_to_the_path(path: str) -> None:
    assert split_file_key(path) == (path, None)


def test_a_missing_key_is_told_with_those_that_there_are() -> None:
    assert "no data set at the key 'grey', but a, b;" in str(missing_key("grey", ["b", "a"]))
    assert "has several data sets, a, b;" in str(missing_key(None, ["b", "a"]))
    assert str(missing_key("grey", [])) == "it holds no data set"
