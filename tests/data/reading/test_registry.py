from pathlib import Path

import numpy as np
import pytest
from stored_arrays import IMAGE, SHAPE

from emsym.data.reading.readers import open_array
from emsym.data.reading.registry import READERS, RemoteZarr, from_extra, register_reader
from emsym.errors import UserError


def test_a_format_is_added_by_one_function(tmp_path, monkeypatch):
    monkeypatch.setattr(READERS, "_entries", dict(READERS._entries))
    closed = []

    @register_reader(".raw.gz", ".raw")
    def read_raw(file, key):
        """Bytes."""
        yield np.frombuffer(file.read_bytes(), np.uint8).reshape(SHAPE)
        closed.append(file)

    (tmp_path / "IMAGE.RAW").write_bytes(IMAGE.tobytes())
    with open_array(tmp_path / "IMAGE.RAW") as array:
        np.testing.assert_array_equal(array, IMAGE)
    assert closed == [tmp_path / "IMAGE.RAW"]
    assert READERS.summary(".raw.gz") == "Bytes."
    assert READERS.entry(".raw").file == Path(__file__)


def test_a_suffix_taken_twice_shows_both_places(monkeypatch):
    monkeypatch.setattr(READERS, "_entries", dict(READERS._entries))
    with pytest.raises(UserError, match=r"formats/npy\.py:\d+ and at .*test_registry\.py:\d+"):

        @register_reader(".npy")
        def read_npy(file, key):
            yield file


def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it() -> None:
    assert from_extra("json", "formats").dumps(1) == "1"
    with pytest.raises(
        ValueError, match=r"needs the package no_such: pip install 'emsym\[cloud\]'"
    ):
        from_extra("no_such", "cloud")


def test_an_address_has_a_name_and_what_stands_before_it() -> None:
    remote = RemoteZarr("s3://bucket/em/raw.zarr/")
    assert (remote.name, remote.parent) == ("raw.zarr", "s3://bucket/em")
