"""MRC files of electron microscopy: volumes and stacks of sections."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from emsym.data.reading.axes import NamedArray
from emsym.data.reading.registry import Array, from_extra, register_reader

_IMOD, _SIGNED = 1146047817, 1
"""The stamp of IMOD's headers, and its flag for bytes that have a sign."""


@register_reader(".mrc", ".rec", ".map")
def read_mrc(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """A volume, its axes as the header says; needs emsym[formats]."""
    mrcfile = from_extra("mrcfile", "formats")
    with (
        mrcfile.mmap(file, "r")
        if isinstance(file, Path)
        else mrcfile.mrcinterpreter.MrcInterpreter(iostream=file)
    ) as opened:
        if opened.data is None:
            raise ValueError("it ends too early")
        order = [int(opened.header[name]) for name in ("maps", "mapr", "mapc")]  # slowest first
        # the header of a file older than these fields holds zeros
        axes = "zyx" if order == [0, 0, 0] else "".join("?xyz"[axis] for axis in order)
        count = opened.data.ndim
        yield NamedArray(_as_meant(opened), "?" * (count - 3) + axes[max(3 - count, 0) :])


def _as_meant(opened: Any) -> np.ndarray:
    """The data; IMOD's bytes have no sign unless a flag says so."""
    order = opened.data.dtype.byteorder.replace("|", "<")
    stamp, flags = np.frombuffer(opened.header.extra2.tobytes(), f"{order}i4", 2, 40)
    if opened.data.dtype == np.int8 and stamp == _IMOD and not flags & _SIGNED:
        return opened.data.view(np.uint8)
    return opened.data
