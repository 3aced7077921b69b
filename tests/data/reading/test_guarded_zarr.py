"""A Zarr that a stranger filled: no link leads out of it, and none of its chunks is a bomb."""

import os
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from stored_arrays import BOX, IMAGE, refusal

from emsym.data.reading import guarded_zarr
from emsym.data.reading.guarded_zarr import require_plain_array
from emsym.data.reading.readers import open_array

ZEROS = np.zeros(1 << 25, np.uint8)


def stored(folder: Path, **options: object) -> tuple[Path, Path]:
    """An array, and the file of its only chunk."""
    array = zarr.create_array(str(folder), data=IMAGE, chunks=IMAGE.shape, **options)
    assert array.nchunks == 1
    (chunk,) = (file for file in (folder / "c").rglob("*") if file.is_file())
    return folder, chunk


def frame_of_unknown_size(blocks: int) -> bytes:
    """A frame of zstd of so many runs of 128 KiB of zeros, which does not say how long it is."""
    runs = [(number == blocks - 1) | 1 << 1 | 1 << 20 for number in range(blocks)]
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(r.to_bytes(3, "little") + b"\0" for r in runs)


@pytest.mark.parametrize("what", ["zarr.json", "c", "c/0/0/0", "a group"])
def test_no_link_leads_out(tmp_path: Path, what: str) -> None:
    outside, _ = stored(tmp_path / "outside")
    inside, _ = stored(tmp_path / "inside.zarr")
    if what == "a group":
        shutil.rmtree(inside)
        zarr.create_group(str(inside))
        (inside / "raw").symlink_to(outside)
    else:
        (inside / what).rename(tmp_path / "old")
        (inside / what).symlink_to(outside / what)
    assert "is a link that leads out of it; copy what it leads to" in refusal(
        inside, box=(slice(None),) * 3
    )


def test_a_link_within_it_and_to_it_is_followed(tmp_path: Path) -> None:
    folder, chunk = stored(tmp_path / "a.zarr")
    chunk.rename(folder / "elsewhere")
    chunk.symlink_to(folder / "elsewhere")
    (tmp_path / "b.zarr").symlink_to(folder)
    for name in ("a.zarr", "b.zarr"):
        with open_array(tmp_path / name) as array:
            np.testing.assert_array_equal(array[BOX], IMAGE[BOX])


@pytest.mark.parametrize("what", ["zarr.json", "c/0/0/0"])
def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path, what: str) -> None:
    folder, _ = stored(tmp_path / "a.zarr")
    (folder / what).unlink()
    os.mkfifo(folder / what)
    assert "is no plain file" in refusal(folder, box=(slice(None),) * 3)


@pytest.mark.parametrize(
    ("codec", "content"),
    [
        (zarr.codecs.GzipCodec(), bytes(numcodecs.GZip(9).encode(ZEROS))),
        (zarr.codecs.ZstdCodec(), bytes(numcodecs.Zstd(1).encode(ZEROS))),
        (zarr.codecs.ZstdCodec(), frame_of_unknown_size(256)),
        (zarr.codecs.numcodecs.BZ2(), bytes(numcodecs.BZ2(9).encode(ZEROS))),
        (zarr.codecs.numcodecs.LZMA(), bytes(numcodecs.LZMA().encode(ZEROS))),
        (zarr.codecs.numcodecs.Zlib(), bytes(numcodecs.Zlib(9).encode(ZEROS))),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_bomb_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: object, content: bytes
) -> None:
    folder, chunk = stored(tmp_path / "a.zarr", compressors=codec)
    monkeypatch.setattr(guarded_zarr, "_HARMLESS", 1 << 20)
    with open_array(folder) as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])
    chunk.write_bytes(content)
    tracemalloc.start()
    assert "unpacks to more than its metadata say" in refusal(folder, box=(slice(None),) * 3)
    assert tracemalloc.get_traced_memory()[1] < len(ZEROS) // 2
    tracemalloc.stop()


def test_what_is_not_compressed_may_begin_like_a_bomb(tmp_path: Path) -> None:
    values = np.frombuffer(bytes(numcodecs.Zstd(1).encode(ZEROS)), np.uint8)
    values = np.resize(values, (2, 20, 20))
    values[0, 0, :4] = 0x1F, 0x8B, 8, 0
    zarr.create_array(str(tmp_path / "a.zarr"), data=values, compressors=None)
    with open_array(tmp_path / "a.zarr") as array:
        np.testing.assert_array_equal(array[:, :, :], values)


def test_a_chunk_that_is_stored_larger_than_it_can_be_is_not_read(tmp_path: Path) -> None:
    folder, chunk = stored(tmp_path / "a.zarr")
    os.truncate(chunk, 1 << 33)
    assert "8,589,934,592 bytes, more than its metadata let expect" in refusal(
        folder, box=(slice(None),) * 3
    )
    os.truncate(folder / "zarr.json", 1 << 33)
    assert "'zarr.json' has 8,589,934,592 bytes" in refusal(folder)


def test_a_zip_that_unpacks_to_more_is_not_unpacked(tmp_path: Path) -> None:
    folder, chunk = stored(tmp_path / "a.zarr")
    with zipfile.ZipFile(tmp_path / "a.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "zarr.json", "zarr.json")
        archive.writestr("c/0/0/0", chunk.read_bytes() + ZEROS.tobytes())
    assert "more than its metadata let expect" in refusal(
        tmp_path / "a.zarr.zip", box=(slice(None),) * 3
    )


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_and_shards_must_fit_into_memory(tmp_path: Path, version: int) -> None:
    options: dict = {"chunks": (1, *IMAGE.shape[1:])}
    options |= {"shards": IMAGE.shape} if version == 3 else {}
    array = zarr.create_array(str(tmp_path / "a.zarr"), data=IMAGE, zarr_format=version, **options)
    size = IMAGE.nbytes if version == 3 else IMAGE[0].nbytes
    assert require_plain_array(array, size) == size
    with pytest.raises(ValueError, match="store it in smaller chunks"):
        require_plain_array(array, size - 1)
