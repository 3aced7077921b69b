"""What labels give: the definitions, against scikit-image and against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import label
from skimage.segmentation import find_boundaries

from emsym.data.labels import boundaries, instances_2d, sequential_ids

TYPES = [np.uint8, np.int16, np.uint32, np.int64, np.uint64]


@st.composite
def volumes(draw, dims=3):
    """Ids (Z, Y, X), few of them so that they touch, some at the top of their type."""
    dtype = draw(st.sampled_from(TYPES))
    shape = draw(array_shapes(min_dims=dims, max_dims=dims, max_side=9))
    top = np.iinfo(dtype).max
    values = st.sampled_from([0, 1, 2, 3, top - 1, top])
    return draw(arrays(dtype, shape, elements=values, fill=st.just(1)))


def by_hand(ids, width):
    """Every pixel is compared with all those in its diamond."""
    found = ids == 0
    _, height, breadth = ids.shape
    for z, y, x in np.ndindex(ids.shape):
        for dy in range(-width, width + 1):
            for dx in range(-width + abs(dy), width - abs(dy) + 1):
                if 0 <= y + dy < height and 0 <= x + dx < breadth:
                    found[z, y, x] |= ids[z, y, x] != ids[z, y + dy, x + dx]
    return found


@given(volumes(), st.integers(1, 4))
def test_boundaries_are_as_defined(ids, width):
    np.testing.assert_array_equal(boundaries(ids, width), by_hand(ids, width))


@given(volumes())
def test_boundaries_are_those_of_scikit_image(ids):
    small = sequential_ids(ids)  # scikit-image takes large ids for floats, and confuses them
    theirs = [find_boundaries(section, connectivity=1, mode="thick") for section in small]
    np.testing.assert_array_equal(boundaries(ids), np.stack(theirs) | (ids == 0))


@given(volumes(), st.integers(1, 3))
def test_boundaries_know_no_direction_and_no_names(ids, width):
    found = boundaries(ids, width)
    np.testing.assert_array_equal(boundaries(ids[::-1], width), found[::-1])
    np.testing.assert_array_equal(
        boundaries(ids.transpose(0, 2, 1)[:, ::-1], width), found.transpose(0, 2, 1)[:, ::-1]
    )
    np.testing.assert_array_equal(boundaries(sequential_ids(ids), width), found)
    np.testing.assert_array_equal(boundaries(ids[0], width), found[0])
    assert (boundaries(ids, width + 1) >= found).all()


@given(volumes())
def test_pieces_are_the_components_of_each_section(ids):
    found = instances_2d(ids)
    assert found.dtype == np.int32
    for section, pieces in zip(ids, found, strict=True):
        np.testing.assert_array_equal(pieces == 0, section == 0)
        present = np.unique(pieces[pieces > 0])
        np.testing.assert_array_equal(present, np.arange(1, len(present) + 1))
        for piece in present:
            assert len(np.unique(section[pieces == piece])) == 1
            assert label(pieces == piece, connectivity=1).max() == 1
        for one in np.unique(section[section > 0]):  # none is cut in two
            assert label(section == one, connectivity=1).max() == len(
                np.unique(pieces[section == one])
            )
    np.testing.assert_array_equal(instances_2d(ids[0]), found[0])


@given(volumes())
def test_dense_ids_are_in_the_same_order(ids):
    found = sequential_ids(ids)
    assert found.dtype == np.int32
    known = np.unique(ids[ids != 0])
    np.testing.assert_array_equal(found[ids == 0], 0)
    np.testing.assert_array_equal(found[ids != 0], np.searchsorted(known, ids[ids != 0]) + 1)


def test_zero_stays_zero_beside_negative_ids():
    assert sequential_ids(np.array([[-5, 0, 3]])).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("function", [boundaries, instances_2d, sequential_ids])
@pytest.mark.parametrize("dtype", [np.float32, bool])
def test_ids_are_integers(function, dtype):
    with pytest.raises(TypeError, match="integers"):
        function(np.ones((2, 3, 4), dtype))
