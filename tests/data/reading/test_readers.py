"""Every format gives back what was written, lazily, and a bad file is one plain sentence."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from stored_arrays import BOX, IMAGE, SHAPE, WRITERS, hdf5, refusal

from emsym.data.reading.readers import find_files, open_array
from emsym.errors import UserError

# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_array_back(tmp_path, kind):
    suffix, write = WRITERS[kind]
    write(tmp_path / f"image{suffix}", IMAGE)
    with open_array(tmp_path / f"image{suffix}", "raw") as array:
        assert tuple(array.shape) == SHAPE
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])
        np.testing.assert_array_equal(array[:, :, :], IMAGE)


@pytest.mark.parametrize("kind", ["npy", "fortran", "contiguous", "compressed", "hdf5"])
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_format_of_one_file_is_read_inside_an_archive(tmp_path, kind, packing):
    suffix, write = WRITERS[kind]
    write(tmp_path / f"image{suffix}", IMAGE)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", packing) as archive:
        archive.write(tmp_path / f"image{suffix}", f"some where/image{suffix}")
    (found,) = find_files(tmp_path, f"all.zip/some where/image{suffix}")
    with open_array(found, "raw") as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])  # backwards again


@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint64", "float32", "float64", "bool"])
@pytest.mark.parametrize("kind", ["npy", "contiguous", "compressed", "hdf5", "zarr-3", "zarr-2"])
def test_types_survive(tmp_path, kind, dtype):
    suffix, write = WRITERS[kind]
    image = IMAGE.astype(dtype) if dtype != "uint64" else IMAGE + np.uint64(2**64 - 256)
    write(tmp_path / f"image{suffix}", image)
    with open_array(tmp_path / f"image{suffix}", "raw") as array:
        assert array.dtype == dtype
        np.testing.assert_array_equal(array[BOX], image[BOX])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_is_refused(tmp_path, suffix):
    Image.fromarray(IMAGE[:3].transpose(1, 2, 0)).save(tmp_path / f"0{suffix}")
    assert "grey" in refusal(tmp_path / f"0{suffix}", box=(slice(None),) * 2)


# --- laziness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npy", "contiguous", "compressed", "hdf5", "zarr-3"])
def test_nothing_stays_open(tmp_path, kind):
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("open files can be counted under Linux alone")
    suffix, write = WRITERS[kind]
    write(tmp_path / f"image{suffix}", IMAGE)
    with open_array(tmp_path / f"image{suffix}", "raw") as array:
        array[BOX]
    targets = [os.readlink(entry) for entry in open_files.iterdir() if entry.is_symlink()]
    assert not [target for target in targets if str(tmp_path) in target]


# --- finding --------------------------------------------------------------------------------------


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_sections_come_in_natural_order(tmp_path):
    names = ["a/s10.png", "a/s2.png", "a/s1.png", "b/s11.png", "a/.hidden.png", "a/s3.txt"]
    touch(tmp_path, *names)
    found = [str(path.relative_to(tmp_path)) for path in find_files(tmp_path, "*/*.png")]
    assert found == ["a/s1.png", "a/s2.png", "a/s10.png", "b/s11.png"]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in names:
            archive.writestr(f"top/{name}", b"")
    found = [str(path) for path in find_files(tmp_path, "all.zip/top/a/*.png")]
    assert found == [f"{tmp_path}/all.zip/top/a/s{n}.png" for n in (1, 2, 10)]


def test_signs_of_patterns_in_names_and_folders_are_only_names(tmp_path):
    touch(tmp_path, "[1] data/s[0].png", "[1] data/s0.png")
    assert [p.name for p in find_files(tmp_path / "[1] data", "s[0].png")] == ["s[0].png"]
    touch(tmp_path, "[1] data/s[1].png")
    (tmp_path / "[1] data/s0.png").unlink()
    for path in ("[1] data", "[1] data/*.png"):
        assert [p.name for p in find_files(tmp_path, path)] == ["s[0].png", "s[1].png"]


def test_nothing_is_found(tmp_path):
    touch(tmp_path, "a.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/b.png", b"")
    for path in ("b.png", "*.tif", "all.zip/*.png", "all.zip/b.png", "none.zip/a/b.png"):
        assert find_files(tmp_path, path) == []
    with pytest.raises(UserError, match="not a zip archive"):
        find_files(tmp_path, "a.png/b.png")


# --- refusing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["empty", "garbage", "half"])
@pytest.mark.parametrize("kind", ["npy", "contiguous", "compressed", "hdf5", "zarr-zip", "png"])
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_file_is_named(tmp_path, kind, content, zipped):
    suffix, write = WRITERS.get(kind, (".png", lambda p, a: Image.fromarray(a[0]).save(p)))
    write(tmp_path / f"whole{suffix}", IMAGE)
    data = (tmp_path / f"whole{suffix}").read_bytes()
    damaged = {"empty": b"", "garbage": b"not an image " * 99, "half": data[: len(data) // 2]}
    path = tmp_path / f"image{suffix}"
    path.write_bytes(damaged[content])
    if zipped:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.write(path, path.name)
        (path,) = find_files(tmp_path, f"all.zip/{path.name}")
    box = (slice(None),) * (2 if kind == "png" else 3)
    assert "cannot be read: " in refusal(path, "raw", box)


def test_member_whose_sum_is_wrong_is_refused(tmp_path):
    Image.fromarray(IMAGE[0]).save(tmp_path / "0.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "0.png", "0.png")
    data = bytearray((tmp_path / "all.zip").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "all.zip").write_bytes(data)
    (found,) = find_files(tmp_path, "all.zip/0.png")
    refusal(found, box=(slice(None),) * 2)


def test_unknown_kind_of_file_lists_the_known(tmp_path):
    message = refusal(tmp_path / "image.bmp")
    assert ".tif" in message
    assert ".npy" in message


def test_missing_file_is_named(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "image.npy")


def test_members_with_a_dot_before_their_path_are_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        np.save(tmp_path / "0.npy", IMAGE)
        archive.writestr(zipfile.ZipInfo("./raw/0.npy"), (tmp_path / "0.npy").read_bytes())
    (found,) = find_files(tmp_path, "data.zip/raw/*.npy")
    with open_array(found) as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])


def test_a_path_too_long_for_the_disk_leads_to_nothing(tmp_path):
    assert find_files(tmp_path, "x" * 5000) == []


def test_the_only_array_of_a_file_needs_no_key(tmp_path):
    hdf5(tmp_path / "image.h5", IMAGE, "volumes/grey")
    zarr.create_group(str(tmp_path / "all.zarr")).create_array("volumes/raw", data=IMAGE)
    for name in ("image.h5", "all.zarr"):
        with open_array(tmp_path / name) as array:
            np.testing.assert_array_equal(array[BOX], IMAGE[BOX])


def test_sections_in_several_folders_go_on_from_one_to_the_next(tmp_path):
    for name in ("a/s0.png", "a/s1.png", "b/s2.png", "b/s10.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(IMAGE[0]).save(tmp_path / name)
    files = find_files(tmp_path, "*/s*.png")
    assert [file.name for file in files] == ["s0.png", "s1.png", "s2.png", "s10.png"]
    Image.fromarray(IMAGE[0]).save(tmp_path / "b/s0.png")
    with pytest.raises(UserError, match=r"files in 2 folders, .*/a, .*/b, and their"):
        find_files(tmp_path, "*/s*.png")


def test_a_folder_that_is_named_as_a_file_is_told(tmp_path):
    (tmp_path / "v.tif").mkdir()
    with (
        pytest.raises(UserError, match="is a folder with the name of a file: write a pattern"),
        open_array(tmp_path / "v.tif"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("0.png", b"", "it is empty"),
        ("v.h5", b"", "it is empty"),
        ("0.png", b"hello", "it is no picture of the kind that its name says"),
    ],
)
def test_what_libraries_say_of_a_file_is_told_in_plain_words(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"cannot be read: {told}"), open_array(tmp_path / name):
        pass
