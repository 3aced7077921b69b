"""Blocks of arrays in one file or in many tile what is asked for, and each chunk is read once."""

import itertools
import zipfile

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from stored_arrays import IMAGE, SHAPE

from emsym.data.cards import Files
from emsym.data.reading import lazy_array
from emsym.data.reading.lazy_array import (
    array_files,
    boxes,
    copy_block,
    in_memory_array,
    open_lazy_array,
)
from emsym.errors import UserError

AXES = ["".join(order) for order in itertools.permutations("zyx")]


@st.composite
def cut_volumes(draw):
    """An array, cut along z, the order of the axes, and a range of sections."""
    shape = [draw(st.integers(2, 9)), *(draw(st.integers(1, 6)) for _ in "yx")]
    cuts = draw(st.sets(st.integers(1, shape[0] - 1), max_size=3))
    start = draw(st.integers(0, shape[0] - 1))
    stop = draw(st.integers(start + 1, shape[0]))
    array = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    return array, sorted(cuts), draw(st.sampled_from(AXES)), start, stop


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cut_volumes(), block=st.sampled_from([8, 100, 1 << 20]))
def test_volumes_follow_each_other_along_z(tmp_path, monkeypatch, case, block):
    array, cuts, axes, start, stop = case
    monkeypatch.setattr(lazy_array, "_READ", block)
    order = ["zyx".index(axis) for axis in axes]
    names = []
    for number, part in enumerate(np.split(array, cuts)):
        np.save(tmp_path / f"part{number}.npy", part.transpose(order).copy())
        names.append(f"part{number}.npy")
    layer = open_lazy_array("image", tmp_path, Files(path=tuple(names), axes=axes))
    assert layer.shape == array.shape
    found = np.full((stop - start, *array.shape[1:]), -1)
    for box, piece in layer.blocks(start, stop):
        assert (found[box] == -1).all()
        found[box] = piece
    np.testing.assert_array_equal(found, array[start:stop])


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(1, 7)), min_size=1),
    st.integers(1, 200),
    st.integers(0, 3),
)
def test_boxes_tile_the_whole_between_chunks(sides, limit, long):
    sides = sides[:4]
    ranges = [(start, start + length) for start, length, _ in sides]
    seen = np.zeros([stop for _, stop in ranges], int)
    for box in boxes(ranges, [chunk for _, _, chunk in sides], limit, long):
        seen[box] += 1
        for side, (low, high), (_, _, chunk) in zip(box, ranges, sides, strict=True):
            assert side.start % chunk == 0 or side.start == low
            assert side.stop % chunk == 0 or side.stop == high
    inside = tuple(slice(*ends) for ends in ranges)
    assert (seen[inside] == 1).all()
    assert seen.sum() == seen[inside].size


@pytest.mark.parametrize("axes", AXES)
def test_putting_is_assigning(axes):
    shape = (3, 300, 270) if axes[-1] != "z" else (270, 9, 300)
    array = np.arange(np.prod(shape)).reshape(shape)
    order = ["zyx".index(axis) for axis in axes]
    block = array.transpose(order).copy().transpose(np.argsort(order))
    target = np.zeros(array.shape, np.float32)
    copy_block(target, block)
    np.testing.assert_array_equal(target, array)


def test_each_chunk_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy_array, "_READ", 1)
    asked = []

    class Chunked:
        shape, dtype, chunks = SHAPE, IMAGE.dtype, (5, 16, 9)

        def __getitem__(self, box):
            asked.append(box)
            return IMAGE[box]

    for box, block in in_memory_array("image", Chunked()).blocks(3, 7):
        np.testing.assert_array_equal(block, IMAGE[3:7][box])
    chunks = [
        tuple(side.start // n for side, n in zip(box, (5, 16, 9), strict=True)) for box in asked
    ]
    assert len(chunks) == len(set(chunks)) == 2 * 3 * 4


def test_paths_are_files_on_disk(tmp_path):
    (tmp_path / "b").mkdir()
    for z, section in enumerate(IMAGE):
        Image.fromarray(section).save(tmp_path / "b" / f"s{z}.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "b").iterdir():
            archive.write(file, f"data/{file.name}")
    zarr.create_array(str(tmp_path / "c.zarr"), data=IMAGE, chunks=(6, 40, 36))
    found = array_files(tmp_path, Files(path=("b/*.png", "a.zip/data/*.png", "c.zarr")))
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names[:13] == [f"b/s{z}.png" for z in range(12)] + ["a.zip"]
    assert sorted(names[13:]) == ["c.zarr/c/0/0/0", "c.zarr/c/1/0/0", "c.zarr/zarr.json"]
    with pytest.raises(UserError, match="no file at"):
        array_files(tmp_path, Files(path=("b/*.png", "d/*.png")))


def test_of_an_array_in_memory_it_is_said_that_z_was_taken_to_come_first():
    assert in_memory_array("image", np.zeros((5, 8, 9))).notes == ()
    (note,) = in_memory_array("image", np.zeros((16, 9, 9))).notes
    assert "the first of the axes 16 × 9 × 9 is z was taken for granted" in note


def test_an_array_whose_sections_seem_to_come_last_is_asked_about():
    array = np.arange(16 * 15 * 5).reshape(16, 15, 5)
    with pytest.raises(UserError, match=r'16 × 15 × 5, whose last axis .* axes="yxz"'):
        in_memory_array("image", array)
    assert in_memory_array("image", array, "zyx").shape == (16, 15, 5)
    turned = in_memory_array("image", array, "yxz")
    assert turned.shape == (5, 16, 15)
    whole = np.empty(turned.shape)
    turned.read_into(whole, 0)
    np.testing.assert_array_equal(whole, array.transpose(2, 0, 1))
    assert in_memory_array("image", np.zeros((16, 8, 5))).shape == (16, 8, 5)
    told = in_memory_array("image", np.zeros((16, 16, 5)), "yxz")
    assert (told.shape, told.notes) == ((5, 16, 16), ())
