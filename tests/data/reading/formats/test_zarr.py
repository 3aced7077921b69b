"""A Zarr array is found by its key, and none of its codecs runs code."""

import json
import pickle

import numpy as np
import pytest
import zarr
from stored_arrays import BOX, IMAGE, Intruder, refusal

from emsym.data.reading.readers import open_array


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_group_gives_the_array_at_the_key(tmp_path, version):
    group = zarr.create_group(str(tmp_path / "all.zarr"), zarr_format=version)
    group.create_array("volumes/raw", data=IMAGE)
    group.create_array("other", data=IMAGE[:1])
    with open_array(tmp_path / "all.zarr", "volumes/raw") as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])
    for key in (None, "raw", "volumes"):
        message = refusal(tmp_path / "all.zarr", key)
        assert "volumes/raw" in message
        assert "other" in message


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("dtype", ["|u1", "|O"])
def test_zarr_with_a_codec_that_runs_code_is_refused(tmp_path, place, dtype):
    # zarr itself knows no such codec since 3.1; numcodecs still has it
    made = zarr.create_array(
        str(tmp_path / "image.zarr"), shape=(4,), chunks=(4,), dtype="uint8", zarr_format=2
    )
    made[:] = 1
    header = json.loads((tmp_path / "image.zarr/.zarray").read_text())
    codec = {"id": "pickle", "protocol": 5}
    header |= {"filters": [codec]} if place == "filters" else {"compressor": codec}
    header |= {"dtype": dtype}
    (tmp_path / "image.zarr/.zarray").write_text(json.dumps(header))
    (tmp_path / "image.zarr/0").write_bytes(pickle.dumps(Intruder(tmp_path / "trace")))
    refusal(tmp_path / "image.zarr", box=(slice(None),))
    assert not (tmp_path / "trace").exists()
