"""NIfTI files, whose axes are x, y, z, time and channels."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from emsym.data.reading.axes import NamedArray
from emsym.data.reading.registry import Array, from_extra, register_reader


@register_reader(".nii", ".nii.gz")
def read_nifti(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """A volume stored as x, y, z, with the scale of its header; needs emsym[formats]."""
    nibabel = from_extra("nibabel", "formats")
    image = nibabel.load(file) if isinstance(file, Path) else _from_stream(nibabel, file)
    proxy, axes = image.dataobj, "xyztc"[: len(image.shape)]
    axes += "?" * (len(image.shape) - len(axes))
    notes = []
    if (proxy.slope, proxy.inter) != (1, 0):
        notes.append(
            f"Grey levels are the stored numbers × {proxy.slope:g} + {proxy.inter:g}, as the "
            "header says."
        )
    yield NamedArray(_Scaled(proxy, bool(notes)), axes, notes)


def _from_stream(nibabel: Any, stream: IO[bytes]) -> Any:
    content = stream.read()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    second = content[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # the header's own size
    return (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(content)


class _Scaled:
    """An array of nibabel, of which a box is read, with the scale of its header."""

    def __init__(self, proxy: Any, scaled: bool) -> None:
        """Numbers that are `scaled` are double, as nibabel gives them."""
        self.shape = tuple(proxy.shape)
        self.dtype = np.dtype(np.float64) if scaled else proxy.dtype
        self._proxy = proxy

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._proxy[box])
