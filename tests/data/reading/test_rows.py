"""Rows are those of NumPy, and no others are read."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_arrays import IMAGE, SHAPE

from emsym.data.reading.rows import Rows


class Counted(io.BytesIO):
    read_bytes = 0

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self.read_bytes += count
        return count


@st.composite
def boxes_of_arrays(draw):
    shape = draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
    ends = [sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2))) for n in shape]
    dtype = draw(st.sampled_from(["u1", "<u2", ">u2", ">f8"]))
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype), [slice(*pair) for pair in ends]


@given(boxes_of_arrays())
def test_rows_are_those_of_numpy(case):
    array, box = case
    stream = io.BytesIO(b"header" + array.tobytes())
    rows = Rows(stream, 6, array.shape, array.dtype)
    np.testing.assert_array_equal(rows[tuple(box)], array[tuple(box)])


@pytest.mark.parametrize(
    ("box", "read"),
    [
        (np.s_[3:5, 0:40, 0:36], 2 * 40 * 36),
        (np.s_[3:5, 7:9, 0:36], 2 * 2 * 36),
        (np.s_[0:12, 0:40, 1:2], 12 * 40 * 36),
    ],
)
def test_rows_that_are_not_asked_for_are_not_read(box, read):
    stream = Counted(IMAGE.tobytes())
    Rows(stream, 0, SHAPE, IMAGE.dtype)[box]
    assert stream.read_bytes == read
