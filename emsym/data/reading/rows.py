"""Uncompressed arrays in files, read row by row."""

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

import numpy as np


class Rows:
    """An uncompressed array in a file, in C order, of which only the asked rows are read.

    Not mapped into memory: what was read through a map counts as the process's memory for as long
    as the map lives.
    """

    def __init__(
        self,
        stream: IO[bytes],
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        byteorder: str = "=",
    ) -> None:
        """`offset` is the first element's, in bytes. `byteorder` is that of a native `dtype`."""
        self.shape = shape
        self.dtype = dtype if byteorder == "=" else dtype.newbyteorder(cast(Any, byteorder))
        self._stream, self._offset = stream, offset
        if self.dtype.hasobject:
            raise ValueError("it holds pickled objects, which are never read")

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Read a box: a slice without steps for each axis."""
        sides = [range(*side.indices(size)) for side, size in zip(box, self.shape, strict=True)]
        return self._box((), sides)

    def _box(self, outer: tuple[int, ...], sides: list[range]) -> np.ndarray:
        """Read a box inside of one element of each of the first axes."""
        if [len(side) for side in sides[1:]] == [*self.shape[len(outer) + 1 :]]:
            return self._read(outer, sides[0])
        if len(sides) == 2:
            return self._read(outer, sides[0])[:, sides[1].start : sides[1].stop]
        part = np.empty([len(side) for side in sides], self.dtype)
        for row, at in zip(part, sides[0], strict=True):
            row[...] = self._box((*outer, at), sides[1:])
        return part

    def _read(self, outer: tuple[int, ...], rows: range) -> np.ndarray:
        """Neighbouring rows along the axis that follows those of `outer`."""
        block = np.empty((len(rows), *self.shape[len(outer) + 1 :]), self.dtype)
        before = sum(
            place * math.prod(self.shape[axis + 1 :])
            for axis, place in enumerate((*outer, rows.start))
        )
        self._stream.seek(self._offset + before * self.dtype.itemsize)
        if self._stream.readinto(block.reshape(-1).view(np.uint8)) < block.nbytes:  # type: ignore[attr-defined]
            raise EOFError("the file ends too early")
        return block


def open_stream(file: Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """Open a path, or take an archive member that is open already, as a context manager."""
    return file.open("rb") if isinstance(file, Path) else nullcontext(file)
