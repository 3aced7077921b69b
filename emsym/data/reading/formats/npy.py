"""Arrays saved by NumPy."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from emsym.data.reading.registry import Array, register_reader
from emsym.data.reading.rows import Rows, open_stream


@register_reader(".npy")
def read_npy(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """An array saved by NumPy, without pickled objects."""
    with open_stream(file) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        if not fortran:
            yield Rows(stream, stream.tell(), shape, dtype)
        elif isinstance(file, Path):
            yield np.load(file, mmap_mode="r", allow_pickle=False)
        else:
            stream.seek(0)
            yield np.load(stream, allow_pickle=False)
