"""TIFF files: a single section, or a page for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from emsym.data.reading.formats.pictures import grey_section
from emsym.data.reading.registry import Array, register_reader
from emsym.data.reading.rows import Rows, open_stream


@register_reader(".tif", ".tiff")
def read_tiff(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """One section, or a page for each; ImageJ's stacks too."""
    import logging

    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is raised, too
    with open_stream(file) as stream, tifffile.TiffFile(stream) as tiff:
        series = tiff.series[0]
        if len(tiff.series) > 1:  # pages that were written one by one are a series each
            pages = list(tiff.pages)
            shape = (len(pages), *_without_colours(tiff.pages[0].shape, tiff.pages[0].axes))
            yield Pages(pages, shape, series.dtype)
        elif series.dataoffset is not None and "S" not in series.axes:
            yield Rows(stream, series.dataoffset, series.shape, series.dtype, tiff.byteorder)
        else:
            yield Pages(
                list(series.pages), _without_colours(series.shape, series.axes), series.dtype
            )


class Pages:
    """The pages of a TIFF file, read one by one: (pages, Y, X), or (Y, X) of a single one."""

    def __init__(self, pages: list, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """`shape` and `dtype` are what they should give together."""
        self.shape, self.dtype, self.chunks = shape, dtype, (1,) * (len(shape) - 2) + shape[-2:]
        self._pages = pages

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Read a box: a slice for each axis."""
        if len(self.shape) == 2:
            return self._page(0)[box]
        numbers = range(*box[0].indices(self.shape[0]))
        return np.stack([self._page(number)[box[1:]] for number in numbers])

    def _page(self, number: int) -> np.ndarray:
        section = grey_section(self._pages[number].asarray())
        if section.shape != self.shape[-2:]:
            raise ValueError(
                f"page {number} has the shape {section.shape}, the first has {self.shape[-2:]}"
            )
        if not np.can_cast(section.dtype, self.dtype):
            raise ValueError(f"page {number} holds {section.dtype}, the first {self.dtype}")
        return section


def _without_colours(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """A shape without the axis of colours, S.

    >>> _without_colours((5, 40, 36, 3), "QYXS")
    (5, 40, 36)
    """
    return tuple(size for size, axis in zip(shape, axes, strict=True) if axis != "S")
