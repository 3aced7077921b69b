"""TIFF files: a single section, or a page for each; no file leads to another."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from emsym.data.reading.axes import NamedArray, axis_letter
from emsym.data.reading.formats.ome_xml import read_ome_images
from emsym.data.reading.formats.pictures import ALPHA, alpha_opaque, grey_section, palette_notes
from emsym.data.reading.registry import Array, register_reader
from emsym.data.reading.rows import Rows, open_stream

_SETS = ("ome", "mmstack", "ndtiff")
"""The formats for which tifffile would read other files."""

_IMAGEJ_CHANNELS = 7
"""More than ImageJ can show as channels."""


class _Image(NamedTuple):
    """One of the images of a file."""

    pages: list
    shape: tuple[int, ...]
    axes: str
    """As tifffile's: letters, S for the colours of a pixel."""
    dtype: np.dtype
    offset: int | None = None
    """The place of the first pixel, where all follow each other."""
    notes: tuple[str, ...] = ()


@register_reader(".tif", ".tiff")
def read_tiff(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """One section, or a page for each, of ImageJ and OME too; of several images, by number."""
    import logging

    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is raised, too
    own: dict[str, Any] = {
        f"is_{name}": False for name in _SETS if name in tifffile.TIFF.FILE_FLAGS
    }
    with open_stream(file) as stream, tifffile.TiffFile(stream, _multifile=False, **own) as tiff:
        image = _choose(_images(tiff), key)
        if image.offset is not None and "S" not in image.axes and not _has_palette(image.pages[0]):
            array: Any = Rows(stream, image.offset, image.shape, image.dtype, tiff.byteorder)
            yield NamedArray(array, _letters(image.axes), [*image.notes, *_inverted(image)])
        else:
            array = Pages(image.pages, _without_colours(image.shape, image.axes), image.dtype)
            notes = [*image.notes, *array.notes, *_inverted(image)]
            yield NamedArray(array, _letters(image.axes.replace("S", "")), notes)


def _images(tiff: Any) -> list[_Image]:
    first = tiff.pages.first
    series = [
        _Image(list(each.pages), tuple(each.shape), each.axes, each.dtype, each.dataoffset)
        for each in tiff.series
        if not each.keyframe.is_reduced
    ] or [_Image([first], first.shape, first.axes, first.dtype)]
    _require_whole(tiff)
    if tiff.is_imagej and len(series) == 1 and series[0].axes == "CYX":
        count = series[0].shape[0]
        if count > _IMAGEJ_CHANNELS:
            note = (
                f"The file calls its {count} pages channels, as some programs do of any stack; "
                "they were taken for sections."
            )
            return [series[0]._replace(axes="QYX", notes=(note,))]
    left_out = len(tiff.series) - len(series)
    if left_out > 0:
        word = "A reduced image" if left_out == 1 else f"{left_out} reduced images"
        series = [each._replace(notes=(f"{word} in the file was left out.",)) for each in series]
    if first.is_ome and first.axes.strip("S") == "YX":
        return _ome_images(first.description, list(tiff.pages), series)
    alike = {(_without_colours(each.shape, each.axes), each.dtype) for each in series}
    if len(series) > 1 and len(alike) == 1 and all(len(each.pages) == 1 for each in series):
        # written one by one; the file's own list notices where it is cut short
        pages = [page for page in list(tiff.pages) if not page.is_reduced]
        return [_Image(pages, (len(pages), *first.shape), f"Q{first.axes}", first.dtype)]
    return series


def _require_whole(tiff: Any) -> None:
    """Raise `ValueError` where a file has fewer pages than it says itself, or pages of no image."""
    stored = sum(math.prod(each.shape) for each in tiff.series)
    stored_sizes = [
        math.prod(each["shape"]) for each in tiff.shaped_metadata or () if "shape" in each
    ]
    images = int((tiff.imagej_metadata or {}).get("images", 1))
    pages = sum(len(each.pages) for each in tiff.series)
    if sum(stored_sizes) > stored or pages < max(len(tiff.pages), images):
        raise ValueError("it ends too early, or its pages are not what its description says")


def _ome_images(xml: str, pages: list, series: list[_Image]) -> list[_Image]:
    """The images that a file's OME metadata tells, of this file's own pages."""
    first = pages[0]
    images = []
    for described in read_ome_images(xml, len(pages)):
        shape = (*(size for size, _ in described.axes), *first.shape)
        axes = "".join(letter for _, letter in described.axes) + first.axes
        chosen = [pages[index] for index in described.pages]
        whole = len(series) == 1 and described.pages == [*range(len(pages))]
        offset = series[0].offset if whole else None
        images.append(_Image(chosen, shape, axes, first.dtype, offset, described.notes))
    if images:
        return images
    plain = [each for each in series if each.shape == series[0].shape]
    return [
        each._replace(
            notes=(*each.notes, "The file is one of a set; its own pages were read, and no other.")
        )
        for each in (plain if len(plain) == 1 else series)
    ]


def _choose(images: Sequence[_Image], key: str | None) -> _Image:
    if len(images) == 1 and not (key or "0").isdecimal():
        return images[0]  # a key that this format has no use for
    if key is not None and not (key.isdecimal() and int(key) < len(images)):
        raise ValueError(
            f"its images are numbered from 0 to {len(images) - 1}: there is no '{key}'"
        )
    if key is None and len(images) > 1:
        shapes = ", ".join(
            f"{' × '.join(map(str, image.shape))} {image.dtype}" for image in images[:4]
        )
        more = ", …" if len(images) > 4 else ""
        raise ValueError(
            f"it holds {len(images)} images, {shapes}{more}; say which with its number from 0 on, "
            'as FILE.tif:0 on the command line, or key = "0" in a card'
        )
    return images[int(key or 0)]


def _letters(axes: str) -> str:
    return "".join("?" if axis in "IQ" else axis_letter(axis) for axis in axes)


def _inverted(image: _Image) -> list[str]:
    white = image.pages[0].photometric == 0
    return ["The file says that 0 is white; its numbers were read as they are."] if white else []


class Pages:
    """The pages of a TIFF file, read one by one: (…, Y, X), or (Y, X) of a single one."""

    def __init__(self, pages: list, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """`shape` and `dtype` are what they should give together."""
        self.shape, self.dtype, self.chunks = shape, dtype, (1,) * (len(shape) - 2) + shape[-2:]
        self._pages = pages
        self.notes: list[str] = []
        if math.prod(shape[:-2]) != len(pages):
            raise ValueError(f"it holds {len(pages)} pages in the place of {math.prod(shape[:-2])}")
        if pages[0].samplesperpixel in (2, 4) or _has_palette(pages[0]):
            self._page(0)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Read a box: a slice for each axis."""
        outer = [
            range(*side.indices(size)) for side, size in zip(box[:-2], self.shape[:-2], strict=True)
        ]
        pages = [
            self._page(int(np.ravel_multi_index(at, self.shape[:-2])) if at else 0)[box[-2:]]
            for at in product(*outer)
        ]
        return np.stack(pages).reshape(*map(len, outer), *pages[0].shape)

    def _page(self, number: int) -> np.ndarray:
        page = self._pages[number]
        section, alpha = grey_section(page.asarray())
        if _has_palette(page):
            colours = np.asarray(page.keyframe.colormap).T >> 8
            self.notes += [n for n in palette_notes(section, colours) if n not in self.notes]
        if alpha is not None and (alpha != alpha_opaque(alpha)).any() and ALPHA not in self.notes:
            if number > 0:
                raise ValueError(
                    f"page {number} has alpha that is not opaque, and the first has not"
                )
            self.notes.append(ALPHA)
        if section.shape != self.shape[-2:]:
            raise ValueError(
                f"page {number} has the shape {section.shape}, the first has {self.shape[-2:]}"
            )
        if not np.can_cast(section.dtype, self.dtype):
            raise ValueError(f"page {number} holds {section.dtype}, the first {self.dtype}")
        return section


def _has_palette(page: Any) -> bool:
    return page.keyframe.photometric == 3 and page.keyframe.colormap is not None


def _without_colours(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """A shape without the axis of colours, S.

    >>> _without_colours((5, 40, 36, 3), "QYXS")
    (5, 40, 36)
    """
    return tuple(size for size, axis in zip(shape, axes, strict=True) if axis != "S")
