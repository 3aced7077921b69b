"""Every format gives back what was written, lazily, and a bad file is one plain sentence."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emsym.data.reading.readers import READERS, Rows, find_files, open_array, register_reader
from emsym.errors import UserError

SHAPE = (12, 40, 36)
IMAGE = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
BOX = (slice(3, 8), slice(5, 40), slice(0, 7))


def npy(path, array):
    np.save(path, array)


def tiff(path, array):
    tifffile.imwrite(path, array)


def tiff_compressed(path, array):
    tifffile.imwrite(path, array, compression="zlib", photometric="minisblack")


def tiff_imagej(path, array):
    tifffile.imwrite(path, array, imagej=True)


def tiff_big_endian(path, array):
    tifffile.imwrite(path, array, byteorder=">")


def tiff_pages(path, array):
    first, *others = (Image.fromarray(section) for section in array)
    first.save(path, save_all=True, append_images=others)


def tiff_appended(path, array):
    for section in array:
        tifffile.imwrite(path, section, append=True)


def tiff_colour(path, array):
    tifffile.imwrite(path, np.stack([array] * 3, -1), photometric="rgb", compression="zlib")


def hdf5(path, array, key="raw", **how):
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=array, **how)


def zarr_array(path, array, version=3, **how):
    made = zarr.create_array(str(path), data=array, zarr_format=version, **how)
    assert made.metadata.zarr_format == version


def zarr_zip(path, array):
    with zarr.storage.ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=array)


WRITERS = {
    "npy": (".npy", npy),
    "fortran": (".npy", lambda path, array: np.save(path, np.asfortranarray(array))),
    "contiguous": (".tif", tiff),
    "compressed": (".tif", tiff_compressed),
    "imagej": (".tif", tiff_imagej),
    "big-endian": (".tif", tiff_big_endian),
    "pages": (".tiff", tiff_pages),
    "appended": (".tif", tiff_appended),
    "colour": (".tif", tiff_colour),
    "hdf5": (".h5", hdf5),
    "hdf5-chunks": (".hdf", lambda p, a: hdf5(p, a, chunks=(5, 16, 7), compression="gzip")),
    "zarr-2": (".zarr", lambda path, array: zarr_array(path, array, 2)),
    "zarr-3": (".zarr", lambda path, array: zarr_array(path, array, chunks=(5, 16, 7))),
    "zarr-shards": (
        ".zarr",
        lambda p, a: zarr_array(p, a, chunks=(3, 10, 9), shards=(6, 20, 18)),
    ),
    "zarr-zip": (".zarr.zip", zarr_zip),
}


def refusal(path, key=None, box=(slice(None),) * 3) -> str:
    """The one sentence with which a file is refused, at once or when it is read."""
    with pytest.raises(UserError) as caught, open_array(path, key) as array:
        array[box]
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(path) in message
    return message


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


@pytest.mark.parametrize("kind", ["contiguous", "compressed", "imagej", "big-endian", "appended"])
def test_16_bits_of_tiff_survive(tmp_path, kind):
    image = IMAGE.astype(np.uint16) * 257
    WRITERS[kind][1](tmp_path / "image.tif", image)
    with open_array(tmp_path / "image.tif") as array:
        np.testing.assert_array_equal(array[BOX], image[BOX])


SECTION = IMAGE[0]
PICTURES = {
    "8 bits": SECTION,
    "16 bits": SECTION.astype(np.uint16) * 257,
    "1 bit": SECTION > 99,
    "rgb": np.stack([SECTION] * 3, -1),
    "rgba": np.stack([SECTION] * 3 + [SECTION[::-1]], -1),
    "la": np.stack([SECTION, SECTION[::-1]], -1),
}


@pytest.mark.parametrize("name", PICTURES)
def test_grey_pictures_are_sections_whatever_their_channels(tmp_path, name):
    Image.fromarray(PICTURES[name]).save(tmp_path / "0.png")
    expected = PICTURES[name] if PICTURES[name].ndim == 2 else SECTION
    with open_array(tmp_path / "0.png") as array:
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array[:, :], expected)


def test_palette_of_greys_is_a_section(tmp_path):
    picture = Image.fromarray(SECTION).convert("P")
    picture.save(tmp_path / "0.png")
    assert Image.open(tmp_path / "0.png").mode == "P"
    with open_array(tmp_path / "0.png") as array:
        np.testing.assert_array_equal(array[:, :], SECTION)


def test_jpeg_is_a_section(tmp_path):
    Image.fromarray(np.full((32, 40), 99, np.uint8)).save(tmp_path / "0.jpg")
    with open_array(tmp_path / "0.jpg") as array:
        np.testing.assert_array_equal(array[:, :], np.full((32, 40), 99))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_is_refused(tmp_path, suffix):
    Image.fromarray(IMAGE[:3].transpose(1, 2, 0)).save(tmp_path / f"0{suffix}")
    assert "grey" in refusal(tmp_path / f"0{suffix}", box=(slice(None),) * 2)


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


# --- extending ------------------------------------------------------------------------------------


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


# --- laziness -------------------------------------------------------------------------------------


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
    names = ["a/s10.png", "a/s2.png", "a/s1.png", "b/s0.png", "a/.hidden.png", "a/s3.txt"]
    touch(tmp_path, *names)
    found = [str(path.relative_to(tmp_path)) for path in find_files(tmp_path, "*/*.png")]
    assert found == ["a/s1.png", "a/s2.png", "a/s10.png", "b/s0.png"]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in names:
            archive.writestr(f"top/{name}", b"")
    found = [str(path) for path in find_files(tmp_path, "all.zip/top/a/*.png")]
    assert found == [f"{tmp_path}/all.zip/top/a/s{n}.png" for n in (1, 2, 10)]


def test_signs_of_patterns_in_names_and_folders_are_only_names(tmp_path):
    touch(tmp_path, "[1] data/s[0].png", "[1] data/s0.png")
    assert [p.name for p in find_files(tmp_path / "[1] data", "s[0].png")] == ["s[0].png"]
    assert len(find_files(tmp_path / "[1] data", "*.png")) == 2


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
    Image.fromarray(SECTION).save(tmp_path / "0.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "0.png", "0.png")
    data = bytearray((tmp_path / "all.zip").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "all.zip").write_bytes(data)
    (found,) = find_files(tmp_path, "all.zip/0.png")
    refusal(found, box=(slice(None),) * 2)


def test_unknown_kind_of_file_lists_the_known(tmp_path):
    message = refusal(tmp_path / "image.mrc")
    assert ".tif" in message
    assert ".npy" in message


def test_missing_file_is_named(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "image.npy")


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "packbits"])
def test_compressed_tiff_is_read(tmp_path, compression):
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, compression=compression)
    with open_array(tmp_path / "image.tif") as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])


def test_pages_of_a_larger_type_than_the_first_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "image.tif") as file:
        file.write(IMAGE[0])
        file.write(IMAGE[1].astype(np.uint16) * 300)
    assert "page 1 holds uint16, the first uint8" in refusal(tmp_path / "image.tif")


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


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    trace = tmp_path / "trace"
    array = np.empty(1, object)
    array[0] = Intruder(trace)
    np.save(tmp_path / "image.npy", array, allow_pickle=True)
    assert "pickled" in refusal(tmp_path / "image.npy", box=(slice(None),))
    assert not trace.exists()
    pickle.loads(pickle.dumps(array[0]))  # it would have been seen
    assert trace.exists()


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
