"""Every reader gives what the format's own library wrote, or asks: never other numbers in silence.

Each combination of a type, a byte and memory order, named axes, a channel axis, bits and a
compression is written by the library of its format and opened as the command line opens it.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import imagecodecs
import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from emsym.data.cards import told_files
from emsym.data.reading.lazy_array import open_lazy_array
from emsym.errors import UserError

SHAPE = (6, 20, 24)
ORDERS = ("zyx", "xyz", "yzx")
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?")
Write = Callable[[Path], object]


class Case(NamedTuple):
    name: str
    suffix: str
    write: Write
    expected: np.ndarray
    asked: bool = False
    """Whether the program is to ask, until it is told `axes`."""
    axes: str | None = None
    key: str | None = None


def numbers(dtype: str) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 2**63, SHAPE, np.uint64)
    if dtype[-2:] in ("f2", "f4", "f8"):
        return (values % 2000 - 1000.0).astype(dtype) / np.array(7, dtype)
    return values.view(np.int64).astype(dtype) if dtype != "?" else values % 3 > 0


def turned(values: np.ndarray, axes: str) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(["zyx".index(axis) for axis in axes]))


def npy() -> Iterator[Case]:
    for dtype, byte, memory, axes in itertools.product(TYPES, "<>", "CF", ORDERS):
        values = numbers(dtype)
        kind = np.dtype(dtype).newbyteorder(byte)
        stored = np.asarray(turned(values, axes).astype(kind), order=memory)
        yield Case(
            f"{dtype}{byte}{memory}-{axes}",
            ".npy",
            lambda p, a=stored: np.save(p, a),
            values,
            asked=axes != "zyx",
            axes=axes,
        )


def hdf5() -> Iterator[Case]:
    def write(path: Path, stored: np.ndarray, axes: str, named: bool, packing: str | None) -> None:
        with h5py.File(path, "w") as file:
            made = file.create_dataset("a", data=stored, compression=packing)
            for place, letter in enumerate(axes if named else ""):
                made.dims[place].label = letter

    for dtype, byte, axes, named, packing, channel in itertools.product(
        TYPES, "<>", ORDERS, (True, False), (None, "gzip"), (False, True)
    ):
        values = numbers(dtype)
        stored = turned(values, axes).astype(np.dtype(dtype).newbyteorder(byte))
        order = axes
        if channel:
            stored, order = np.stack([stored[::-1], stored]), f"c{axes}"
        yield Case(
            f"{dtype}{byte}-{order}-{named}-{packing}",
            ".h5",
            lambda p, a=stored, o=order, n=named, c=packing: write(p, a, o, n, c),
            values,
            asked=channel or (not named and axes != "zyx"),
            axes=f"c=1,{axes}" if channel else axes,
        )


def zarrs() -> Iterator[Case]:
    def write(path: Path, stored: np.ndarray, axes: str, version: int, named: bool, **how) -> None:
        names = {} if version == 2 or not named else {"dimension_names": [*axes]}
        made = zarr.create_array(str(path), data=stored, zarr_format=version, **names, **how)
        if named and version == 2:
            made.attrs["_ARRAY_DIMENSIONS"] = [*axes]

    for dtype, axes, version, named, order, channel in itertools.product(
        ("u1", "i2", ">u2", "f4", "i8", "?"), ORDERS, (2, 3), (True, False), "CF", (False, True)
    ):
        values = numbers(dtype)
        stored, letters = turned(values, axes), axes
        if channel:
            stored, letters = np.stack([stored[::-1], stored]), f"c{axes}"
        chunks = tuple(min(side, 7) for side in stored.shape)
        how = {"order": order} if version == 2 else {"chunks": chunks}
        yield Case(
            f"{dtype}-{letters}-{version}-{named}-{order}",
            ".zarr",
            lambda p, a=stored, o=letters, v=version, n=named, h=how: write(p, a, o, v, n, **h),
            values,
            asked=channel or (not named and axes != "zyx"),
            axes=f"c=1,{axes}" if channel else axes,
        )


def tiffs() -> Iterator[Case]:
    for dtype, byte, packing, kind in itertools.product(
        ("u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "?"),
        "<>",
        (None, "zlib", "lzw", "zstd"),
        ("plain", "named", "named xyz", "ome", "channels", "ome channels"),
    ):
        values = numbers(dtype)
        if kind.startswith("ome") and dtype in ("f2", "?"):
            continue  # OME has no such types
        stored, how = values, {}
        if kind == "named":
            how = {"metadata": {"axes": "ZYX"}}
        elif kind == "named xyz":
            stored, how = turned(values, "xyz"), {"metadata": {"axes": "XYZ"}}
        elif "channels" in kind:
            stored = np.stack([values[::-1], values])
            how = {"metadata": {"axes": "CZYX"}, "ome": kind.startswith("ome")}
        elif kind == "ome":
            how = {"metadata": {"axes": "ZYX"}, "ome": True}
        yield Case(
            f"{dtype}{byte}-{packing}-{kind}",
            ".tif",
            lambda p, a=stored, h=how, b=byte, c=packing: tifffile.imwrite(
                p, a, byteorder=b, compression=c, photometric="minisblack", **h
            ),
            values,
            asked="channels" in kind,
            axes="c=1,zyx" if "channels" in kind else None,
        )
    for dtype, kind in itertools.product(("u1", "u2", "f4"), ("ZYX", "CYX", "TYX", "TZYX")):
        values = numbers(dtype) if kind != "TZYX" else numbers(dtype)[:3]
        stored = np.stack([values[::-1], values]) if kind == "TZYX" else values
        yield Case(
            f"imagej-{dtype}-{kind}",
            ".tif",
            lambda p, a=stored, k=kind: tifffile.imwrite(p, a, imagej=True, metadata={"axes": k}),
            values,
            asked=kind != "ZYX",
            axes="t=1,zyx" if kind == "TZYX" else "zyx",
        )


def others() -> Iterator[Case]:
    def mrc(path: Path, stored: np.ndarray, order: tuple[int, int, int]) -> None:
        with mrcfile.new(path) as file:
            file.set_data(stored)
            file.header.mapc, file.header.mapr, file.header.maps = order

    orders = ((1, 2, 3), (3, 2, 1), (2, 1, 3))
    for dtype, order in itertools.product(("i1", "i2", "u2", "f4"), orders):
        values = numbers(dtype)
        letters = "".join("?xyz"[axis] for axis in reversed(order))
        stored = turned(values, letters)
        yield Case(f"{dtype}-{letters}", ".mrc", lambda p, a=stored, o=order: mrc(p, a, o), values)
    for dtype, encoding, labelled in itertools.product(
        ("u1", "i2", "u2", "i4", "f4", "f8"), ("raw", "gzip"), (None, "xyz", "zyx")
    ):
        values = numbers(dtype)
        header = {"encoding": encoding} | ({"labels": [*labelled]} if labelled else {})
        stored = turned(values, (labelled or "xyz")[::-1])  # fastest first
        yield Case(
            f"{dtype}-{encoding}-{labelled}",
            ".nrrd",
            lambda p, a=stored, h=header: nrrd.write(str(p), a, dict(h), index_order="C"),
            values,
        )
    for dtype, suffix, scaled in itertools.product(
        ("u1", "i2", "u2", "i4", "f4", "f8"), (".nii", ".nii.gz"), (False, True)
    ):
        values = numbers(dtype) if dtype[0] != "f" else np.abs(numbers(dtype))
        image = nibabel.Nifti1Image(values.transpose(2, 1, 0), np.eye(4))
        if scaled:
            image.header.set_slope_inter(2, 1)
            values = nibabel.Nifti1Image.from_bytes(image.to_bytes()).get_fdata().transpose(2, 1, 0)
        yield Case(f"{dtype}-{scaled}", suffix, lambda p, i=image: nibabel.save(i, str(p)), values)


def pictures() -> Iterator[Case]:
    """Sections in a folder: bits of greys, palettes, alpha and colours."""

    def folder(path: Path, encode: Callable[[np.ndarray], bytes], stack: np.ndarray) -> None:
        path.mkdir()
        for number, values in enumerate(stack):
            (path / f"s{number + 8}.PNG").write_bytes(encode(values))

    def png(values: np.ndarray) -> bytes:
        return imagecodecs.png_encode(values)

    for dtype, channels in itertools.product(("u1", "u2"), (1, 2, 3, 4)):
        stack = numbers(dtype)
        most = np.iinfo(dtype).max

        def encode(values: np.ndarray, count: int = channels, most: int = most) -> bytes:
            bands = np.repeat(values[..., None], count, -1)
            if count in (2, 4):
                bands[..., -1] = most
            return png(bands if count > 1 else values)

        yield Case(f"{dtype}x{channels}", "", lambda p, e=encode, s=stack: folder(p, e, s), stack)
    for bits, palette in itertools.product((1, 2, 4, 8), (False, True)):
        stack = numbers("u1") & np.uint8(2**bits - 1)

        def low(values: np.ndarray, bits: int = bits, palette: bool = palette) -> bytes:
            buffer = io.BytesIO()
            if palette:
                image = Image.fromarray(values)
                image.putpalette([(7 * n + 40 * c) % 256 for n in range(2**bits) for c in range(3)])
                image.save(buffer, "PNG", bits=bits)
                return buffer.getvalue()
            return grey_png(values, bits)

        yield Case(f"{bits}-{palette}", "", lambda p, e=low, s=stack: folder(p, e, s), stack)


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits, written by the format's own rules: no library here writes one."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    each = ((values[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1).astype(np.uint8)
    rows = np.packbits(each.reshape(len(values), -1), axis=1)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


FAMILIES = {f.__name__: f for f in (npy, hdf5, zarrs, tiffs, others, pictures)}
LEAST = {"npy": 144, "hdf5": 288, "zarrs": 144, "tiffs": 400, "others": 72, "pictures": 16}


def read(path: Path, case: Case, axes: str | None) -> np.ndarray:
    layer = open_lazy_array("image", Path(), told_files(str(path), case.key, axes))
    target = np.empty(layer.shape, layer.dtype)
    layer.read_into(target, 0)
    return target


@pytest.mark.parametrize("family", FAMILIES)
def test_no_combination_gives_other_numbers(tmp_path: Path, family: str) -> None:
    wrong, count = [], 0
    for count, case in enumerate(FAMILIES[family](), start=1):
        path = tmp_path / f"{count}{case.suffix}"
        case.write(path)
        try:
            values = read(path, case, None)
        except UserError as error:
            if not case.asked or "--axes" not in str(error):
                wrong.append(f"{case.name}: refused, {error}")
                continue
            values = read(path, case, case.axes)
        else:
            if case.asked:
                wrong.append(f"{case.name}: read as {values.shape}, nothing asked")
        if values.shape != case.expected.shape or (values != case.expected).any():
            wrong.append(f"{case.name}: other numbers")
    assert not wrong, f"{len(wrong)} of {count}: {wrong[:6]}"
    assert count >= LEAST[family]
