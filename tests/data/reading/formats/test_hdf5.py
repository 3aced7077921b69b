"""An HDF5 data set is found by its key, and lies in the file itself."""

import h5py
import numpy as np
import pytest
from stored_arrays import IMAGE, SHAPE, hdf5, refusal


@pytest.mark.parametrize("key", [None, "raw", "volumes"])
def test_hdf5_without_the_key_lists_what_is_there(tmp_path, key):
    hdf5(tmp_path / "image.h5", IMAGE, "volumes/grey")
    with h5py.File(tmp_path / "image.h5", "a") as file:
        file["other"] = IMAGE
    message = refusal(tmp_path / "image.h5", key)
    assert "volumes/grey" in message
    assert "other" in message


@pytest.mark.parametrize("how", ["link", "folder link", "external", "virtual"])
def test_hdf5_that_leads_into_other_files_is_refused(tmp_path, how):
    secret = tmp_path / "secret.h5"
    hdf5(secret, IMAGE, "all/raw")
    (tmp_path / "secret.raw").write_bytes(IMAGE.tobytes())
    key = "raw"
    with h5py.File(tmp_path / "image.h5", "w") as file:
        if how == "link":
            file["raw"] = h5py.ExternalLink(str(secret), "all/raw")
        elif how == "folder link":
            file["all"] = h5py.ExternalLink(str(secret), "all")
            key = "all/raw"
        elif how == "external":
            raw = (str(tmp_path / "secret.raw"), 0, h5py.h5f.UNLIMITED)
            file.create_dataset("raw", SHAPE, np.uint8, external=[raw])
        else:
            layout = h5py.VirtualLayout(SHAPE, np.uint8)
            layout[:] = h5py.VirtualSource(str(secret), "all/raw", SHAPE)
            file.create_virtual_dataset("raw", layout)
    assert "another file" in refusal(tmp_path / "image.h5", key)
