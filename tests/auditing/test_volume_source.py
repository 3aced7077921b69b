"""A volume may be an array that is read as it is sliced, of which no more is read than needed."""

import dask.array
import numpy as np
import pytest
import torch
import zarr

from emsym.auditing.inputs import AuditInputs
from emsym.auditing.volume_source import open_audited_volume
from emsym.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 255, (9, 24, 20), np.uint8)


def opened(volume: object, labels: object = None):
    return open_audited_volume(AuditInputs("no network", volume, labels), 0)


def read(volume: object, start: int, stop: int) -> np.ndarray:
    image = opened(volume).image
    target = np.empty((stop - start, *image.shape[1:]), image.dtype)
    image.read_into(target, start)
    return target


@pytest.mark.parametrize("chunks", [(1, 24, 20), (4, 10, 7), (9, 24, 20)])
def test_dask_and_zarr_give_what_numpy_gives(chunks: tuple[int, int, int]) -> None:
    stored = zarr.create_array({}, data=IMAGE, chunks=chunks)
    for lazy in (dask.array.from_array(IMAGE, chunks), stored):
        np.testing.assert_array_equal(read(lazy, 2, 6), IMAGE[2:6])
    assert opened(stored).source == "an array"
    assert opened(IMAGE).source == "in memory"


def test_only_the_chunks_that_are_needed_are_computed() -> None:
    made = []

    def block(block_info: dict) -> np.ndarray:
        ((start, stop), *_) = block_info[None]["array-location"]
        made.append(start)
        return IMAGE[start:stop]

    chunks = ((1,) * 9, (24,), (20,))
    meta = np.empty((0, 0, 0), np.uint8)
    lazy = dask.array.map_blocks(block, chunks=chunks, dtype=np.uint8, meta=meta)
    made.clear()
    np.testing.assert_array_equal(read(lazy, 3, 5), IMAGE[3:5])
    assert set(made) == {3, 4}


def test_labels_of_another_shape_and_what_is_no_array_are_refused() -> None:
    lazy = dask.array.from_array(IMAGE)
    with pytest.raises(UserError, match=r"shape \(9, 24, 20\), its labels \(8, 24, 20\)"):
        opened(lazy, lazy[:8])
    with pytest.raises(UserError, match=r"a folder or an array .* not a Tensor"):
        opened(torch.from_numpy(IMAGE))
    with pytest.raises(UserError, match="must be one of numbers"):
        opened(lazy.astype(complex))
