"""NumPy's npz, written with the same bytes each time, and read as if it were made to do harm.

NumPy's own reader believes a header that claims a terabyte, and parses it as Python; this one
believes nothing: each array must be of one of a few types and as large as the bytes that are there.
"""

import io
import re
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path

import numpy as np

from emsym.errors import UserError, first_line, first_names

MAX_MEMBERS, MAX_DIRECTORY, MAX_UNPACKED = 1000, 1 << 18, 512 << 20
MAX_LENGTH = 1 << 31
"""The longest axis of an array."""
_HEADER = re.compile(
    rb"\{'descr': '(<f4|<i4|\|u1|\|S32)', 'fortran_order': False, 'shape': \(([0-9, ]{0,60})\), \}"
    rb" *\n"
)
_KEY = re.compile(rb"[0-9a-f]{32}")
_END = struct.Struct("<4s4H2LH")
"""A zip archive's last 22 bytes: signature, disks and entries, size and place of the directory."""
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, struct.error, OSError, OverflowError, KeyError, IndexError),
)
"""The errors of Python's zip reader for archives that are damaged or of a kind not used here."""


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """The bytes of an npz file, the same for the same arrays: without times, in order of names.

    Raises `UserError` where `Arrays` would not read it.
    """
    if sum(array.nbytes for array in arrays.values()) > MAX_UNPACKED or len(arrays) > MAX_MEMBERS:
        raise UserError(
            f"The values of one data set and architecture are over {MAX_UNPACKED:,} bytes or "
            f"{MAX_MEMBERS:,} scores: submit fewer strategies or seeds at once."
        )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), (1, 0), False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980: no time of ours
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return stream.getvalue()


class Arrays:
    """The arrays of an npz file, each read when it is asked for; the file stays open meanwhile."""

    def __init__(self, path: Path) -> None:
        """Read the directory alone. Raises `UserError` where it is not that of a plain npz."""
        self.path = path
        try:
            with path.open("rb") as file:
                start = file.read(4)
                file.seek(-_END.size, 2)
                signature, *_, size, _, comment = _END.unpack(file.read(_END.size))
            if start != b"PK\3\4":  # what lies before an archive is none of it
                raise ValueError("it does not begin as one")
            if signature != b"PK\5\6" or comment or size > MAX_DIRECTORY:
                raise ValueError("its directory is none of an npz, or too large")
            self._archive = zipfile.ZipFile(path)  # closes itself when nothing refers to it
            entries = self._archive.infolist()
            self._members = {entry.filename: entry for entry in entries}
        except _DAMAGE as error:
            raise self._wrong(first_line(error)) from error
        if len(self._members) < len(entries):
            raise self._wrong("it has two arrays of one name")
        if len(entries) > MAX_MEMBERS or sum(e.file_size for e in entries) > MAX_UNPACKED:
            raise self._wrong(f"it unpacks to over {MAX_UNPACKED:,} bytes or has too many arrays")
        if any(not name.endswith(".npy") for name in self._members):
            raise self._wrong("it holds something else than arrays")

    @property
    def names(self) -> list[str]:
        """The names of the arrays."""
        return [name.removesuffix(".npy") for name in self._members]

    def get(self, name: str, kind: str, *shape: int | None) -> np.ndarray:
        """An array of that NumPy type and shape, where None stands for any length.

        Raises `UserError` where there is none, it is of another kind, or its bytes are damaged.
        """
        try:
            entry = self._members[f"{name}.npy"]
            with self._archive.open(entry) as member:
                content = member.read(entry.file_size)
        except KeyError as error:
            raise self._wrong(f"it has no array '{name}'") from error
        except _DAMAGE as error:
            raise self._wrong(f"'{first_names([name])}': {first_line(error)}") from error
        array = _decoded(content)
        expected = f"{kind} of ({', '.join('any' if n is None else str(n) for n in shape)})"
        if array is None:
            raise self._wrong(f"'{first_names([name])}' is no array of {expected}")
        fits = len(array.shape) == len(shape) and all(
            wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(kind):
            actual = f"{array.dtype.str} of {array.shape}"
            raise self._wrong(f"'{first_names([name])}' is {actual} instead of {expected}")
        return array

    def keys(self) -> list[str]:
        """The keys of the cells that the arrays are of, in their order.

        Raises `UserError` where they are not keys, or one is there twice.
        """
        keys = self.get("keys", "S32", None).tolist()
        if not all(_KEY.fullmatch(key) for key in keys):
            raise self._wrong("'keys' holds what is no key of a cell")
        if len(set(keys)) < len(keys):
            raise self._wrong("'keys' holds a key twice")
        return [key.decode() for key in keys]

    def _wrong(self, why: str) -> UserError:
        return UserError(f"{self.path} is not an npz file of a submission: {first_names([why])}.")


def _decoded(content: bytes) -> np.ndarray | None:
    """The array of an npy file of version 1.0; None where it is none, or of another type."""
    if content[:8] != b"\x93NUMPY\1\0" or len(content) < 10:
        return None
    start = 10 + int.from_bytes(content[8:10], "little")
    header = _HEADER.fullmatch(content[10:start])
    if header is None:
        return None
    lengths = [int(length) for length in header[2].decode().split(",") if length.strip().isdigit()]
    dtype = np.dtype(header[1].decode())
    if (
        prod(lengths) * dtype.itemsize != len(content) - start
        or max(lengths, default=0) > MAX_LENGTH
    ):
        return None  # of no elements, any length fits
    array = np.frombuffer(content, dtype, offset=start).reshape(lengths)
    if dtype.kind == "f":  # one kind of NaN: arithmetic with a signalling one warns
        array = np.where(np.isnan(array), dtype.type(np.nan), array)
    return array
