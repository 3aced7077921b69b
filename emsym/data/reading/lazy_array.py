"""An image or labels on disk, in one file or in many, as one (Z, Y, X) array read in blocks."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from emsym.data.cards import Files
from emsym.data.reading.axes import (
    Layout,
    find_layout,
    open_view,
    order_notes,
    sections_come_last,
)
from emsym.data.reading.readers import Array, Location, find_files, open_array
from emsym.data.reading.registry import RemoteZarr
from emsym.data.reading.section_order import Gaps, find_gaps
from emsym.errors import UserError

Box = tuple[slice, ...]
T = TypeVar("T")

_READ = 4 << 20
"""About how many bytes are read at once, but no more than a tenth of what is asked for: with the
next block, and what is made of one, the memory of some of them is taken beyond the result."""
_RUN = 400
"""A block has at least so much along x, as the result wants it; more would mean that reading
jumps farther, where x is not among the last of the stored axes."""
_MOST, _MOST_IN_SECTION = 1 << 56, 1 << 39
"""Voxels; the largest volume of the field, of a cubic millimetre of cortex, has a fiftieth, and a
third in a section."""
_TILE, _ROWS = 256, 8
"""A tile of bytes fits into the innermost cache of a processor, so many rows into the next."""


class Part(NamedTuple):
    """One of the arrays that follow each other along z."""

    name: str
    """The file, for messages."""
    open: Callable[[], AbstractContextManager[Array]]
    shape: tuple[int, ...]
    """The stored shape: three-dimensional, or two-dimensional for a single section."""


@dataclass(frozen=True)
class LazyArray:
    """The image or the labels of a data set; nothing of it is in memory."""

    name: str
    """For messages, such as "image of 'cells'"."""
    parts: tuple[Part, ...]
    dtype: np.dtype
    """A type of numbers, in native byte order."""
    axes: str = "zyx"
    """The order in which the axes are stored."""
    notes: tuple[str, ...] = ()
    """Notes on how it is read, a sentence each: what was taken for granted, and
    what is left out."""
    gaps: tuple[int, ...] = ()
    """The parts before which, by the numbers in their names, others are missing."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        size = dict(zip(self._axes_of(self.parts[0]), self.parts[0].shape, strict=True))
        return sum(map(self._depth, self.parts)), size["y"], size["x"]

    @property
    def breaks(self) -> tuple[int, ...]:
        """The sections that do not follow the one before them."""
        return tuple(sum(map(self._depth, self.parts[:part])) for part in self.gaps)

    def blocks(
        self, start: int, stop: int, *, whole: bool = False
    ) -> Iterator[tuple[Box, np.ndarray]]:
        """Yield the sections [start, stop) in blocks (z, y, x), each with its place among them.

        What is stored in chunks is read in whole ones, once; with `whole`, no section is cut.
        Raises `UserError` where a file cannot be read or is not like the first.
        """
        return _ahead(self._read(start, stop, whole))

    def read_into(self, target: np.ndarray, start: int) -> None:
        """Fill an array (n, Y, X) with the sections from `start` on, as `blocks` gives them."""
        if self.axes == "zyx" and target.dtype == self.dtype and len(self.parts) == 1:
            with self.parts[0].open() as array:
                read_direct = getattr(array, "read_direct", None)  # without a copy, as h5py can
                if read_direct is not None and array.dtype == self.dtype:
                    read_direct(target, np.s_[start : start + len(target)])
                    return
        for box, block in self.blocks(start, start + len(target)):
            with np.errstate(over="ignore"):  # what is too large becomes infinite
                copy_block(target[box], block)

    def _read(self, start: int, stop: int, whole: bool) -> Iterator[tuple[Box, np.ndarray]]:
        first = 0
        asked = (stop - start) * math.prod(self.shape[1:])
        limit = min(_READ // self.dtype.itemsize, asked // 10)
        for part in self.parts:
            low, high = max(start - first, 0), min(stop - first, self._depth(part))
            if low < high:
                for (z, y, x), block in self._read_part(part, low, high, limit, whole):
                    yield (slice(z.start + first - start, z.stop + first - start), y, x), block
            first += self._depth(part)

    def _axes_of(self, part: Part) -> str:
        return self.axes if len(part.shape) == 3 else self.axes.replace("z", "")

    def _depth(self, part: Part) -> int:
        return part.shape[self.axes.index("z")] if len(part.shape) == 3 else 1

    def _read_part(
        self, part: Part, low: int, high: int, limit: int, whole: bool
    ) -> Iterator[tuple[Box, np.ndarray]]:
        _, height, width = self.shape
        ranges = {"z": (low, high), "y": (0, height), "x": (0, width)}
        order = [self.axes.index(axis) for axis in "zyx"]
        with part.open() as array:
            self._require_like(part, array)
            if len(part.shape) == 2:
                array = np.expand_dims(array[:, :], self.axes.index("z"))
            stored = getattr(array, "shards", None) or getattr(array, "chunks", None)
            chunks = dict(zip(self.axes, stored or (1, 1, 1), strict=True))
            if not stored:
                chunks["x"] = _RUN
            if whole:
                chunks |= {"y": height, "x": width}
            for box in boxes(
                [ranges[axis] for axis in self.axes],
                [chunks[axis] for axis in self.axes],
                limit,
                long=self.axes.index("x") if stored else -1,
            ):
                block = np.asarray(array[box], self.dtype).transpose(order)
                yield tuple(box[axis] for axis in order), block

    def _require_like(self, part: Part, array: Array) -> None:
        if tuple(array.shape) != part.shape or not np.can_cast(array.dtype, self.dtype):
            raise UserError(
                f"{part.name} has the shape {tuple(array.shape)}, {array.dtype}; the sections of "
                f"the {self.name} must be alike, and the first file has {part.shape}, {self.dtype}."
            )
        for note in getattr(array, "notes", ()):
            if note not in self.notes:
                raise UserError(
                    f"{part.name} is not like the first file of the {self.name}, of which this "
                    f"does not hold: {note}"
                )


def open_lazy_array(name: str, folder: Path, files: Files, *, trusted: bool = False) -> LazyArray:
    """Open an array from a source's folder; `name` is for messages.

    Opens what it must to know the shape: each volume, but of many sections the first alone. With
    `trusted` axes that nothing names are z, y, x. Raises `UserError` where there is no file, where
    one cannot be opened, for what is not an array of numbers (Z, Y, X), and where it is not plain
    which axis is which.
    """
    locations = file_locations(folder, files)
    with open_array(locations[0], files.key) as array:
        shape, dtype = tuple(array.shape), array.dtype
        named, notes = getattr(array, "axes", ""), tuple(getattr(array, "notes", ()))
    if 0 in shape:
        raise UserError(f"The {name} at {locations[0]} is empty: its shape is {shape}.")
    if math.prod(shape) > _MOST or math.prod(sorted(shape)[-2:]) > _MOST_IN_SECTION:
        raise UserError(
            f"The {name} at {locations[0]} says that it has {' × '.join(map(str, shape))} voxels, "
            "more than can be looked at: take a coarser level of it, or do not trust this file."
        )
    if dtype.kind not in "uifb":
        raise UserError(
            f"The {name} at {locations[0]} holds {array.dtype} where numbers are needed: save it "
            "as whole or decimal numbers, of complex ones their size."
        )
    # files that are named one by one are volumes, those of a pattern mostly sections
    are_sections = len(locations) > (1 if len(shape) == 2 else len(files.paths))
    layout = _layout(
        f"{name} at {locations[0]}", shape, named, files.told_axes, are_sections, trusted
    )
    parts = [_part(at, files.key, layout.picks, shape) for at in locations]
    if "z" in layout.axes:
        parts[1:] = [_sized(name, part, layout.axes.index("z")) for part in parts[1:]]
    axes = layout.axes if "z" in layout.axes else f"z{layout.axes}"
    gaps = _gaps(locations)
    return LazyArray(
        name,
        tuple(parts),
        _numbers(dtype),
        axes,
        (*notes, *layout.notes, *gaps.notes),
        tuple(gaps.places),
    )


def require_same_gaps(image: LazyArray, labels: LazyArray) -> None:
    """Raise `UserError` where files of labels leave out other numbers than those of the image."""
    if labels.breaks != image.breaks and (labels.breaks or len(labels.parts) > 1):
        raise UserError(
            f"The numbers in the names of the files of the {labels.name} leave out others than "
            f"those of the {image.name}: give both for the same sections, with the same numbers."
        )


def _gaps(locations: list[Location]) -> Gaps:
    """Find the gaps in the numbers of files, those of each folder by themselves."""
    places, notes, before = list[int](), list[str](), 0
    for _, group in groupby(locations, lambda location: str(location.parent)):
        names = [location.name for location in group]
        gaps = find_gaps(names)
        places += [before + place for place in gaps.places]
        notes += gaps.notes
        before += len(names)
    return Gaps(places, notes)


def _layout(
    name: str, shape: tuple[int, ...], named: str, told: str | None, sections: bool, trusted: bool
) -> Layout:
    """Find the axes of what is called `name` in messages. Raises `UserError` in their place."""
    try:
        return find_layout(shape, named, told, sections=sections, trusted=trusted)
    except ValueError as error:
        raise UserError(f"The {name} {error}.") from error


def _numbers(stored: np.dtype) -> np.dtype:
    # masks of one and of eight bits are found side by side
    return np.dtype(np.uint8) if stored.kind == "b" else stored.newbyteorder("=")


def _part(
    at: Location, key: str | None, picks: tuple[int | None, ...], shape: tuple[int, ...]
) -> Part:
    kept = tuple(size for size, pick in zip(shape, picks, strict=True) if pick is None)
    return Part(str(at), partial(_open_part, at, key, picks), kept)


def _open_part(
    at: Location, key: str | None, picks: tuple[int | None, ...]
) -> AbstractContextManager[Array]:
    return open_view(open_array(at, key), picks)


def _sized(name: str, part: Part, z: int) -> Part:
    """A volume with its own shape, which may differ from that of the first along z alone."""
    with part.open() as array:
        shape = tuple(array.shape)
    if len(shape) != 3 or np.delete(shape, z).tolist() != np.delete(part.shape, z).tolist():
        raise UserError(
            f"{part.name} has the shape {shape}; the sections of the {name} must be alike, and the "
            f"first file has {part.shape}."
        )
    return part._replace(shape=shape)


def in_memory_array(name: str, array: np.ndarray | Array, axes: str | None = None) -> LazyArray:
    """Return a lazy array of one that can be sliced: (Z, Y, X), unless `axes` says otherwise.

    Raises `UserError` where the axes do not fit, and where none are said and the sections seem to
    come last.
    """
    shape = tuple(array.shape)
    layout = _layout(name, shape, "", axes, sections=False, trusted=True)
    part = _part_in_memory(name, array, layout.picks)
    if axes is None and sections_come_last(part.shape):
        shown = " × ".join(map(str, part.shape))
        raise UserError(
            f"The {name} is an array of {shown}, whose last axis looks like that of the sections, "
            'and arrays are (Z, Y, X): say axes="yxz" where it is, or axes="zyx" where it is not.'
        )
    notes = layout.notes if axes else order_notes(part.shape)
    return LazyArray(name, (part,), array.dtype, layout.axes, notes)


def _part_in_memory(name: str, array: np.ndarray | Array, picks: tuple[int | None, ...]) -> Part:
    def opened() -> AbstractContextManager[Array]:
        return open_view(nullcontext(array), picks)

    with opened() as view:
        return Part(name, opened, tuple(view.shape))


def file_locations(folder: Path, files: Files) -> list[Location]:
    """Return the files of an array in order. Raises `UserError` for a path that has none."""
    locations: list[Location] = []
    for path in files.paths:
        matches = find_files(folder, path)
        if not matches:
            raise UserError(f"There is no file at {folder / path}: correct 'path' in the card.")
        locations += matches
    return locations


def boxes(
    ranges: Sequence[tuple[int, int]], chunks: Sequence[int], limit: int, long: int = -1
) -> Iterator[tuple[slice, ...]]:
    """Cut a box into smaller ones of about `limit` elements, between chunks only.

    They are long along the last axis, then along the axis `long`.

    >>> [[(s.start, s.stop) for s in box] for box in boxes([(3, 9), (0, 10)], [4, 5], 40)]
    [[(3, 4), (0, 10)], [(4, 8), (0, 10)], [(8, 9), (0, 10)]]
    """
    sides = list(chunks)
    axes = reversed(range(len(sides)))
    for axis in dict.fromkeys([len(sides) - 1, long % len(sides), *axes]):
        start, stop = ranges[axis]
        lengths = [min(side, high - low) for side, (low, high) in zip(sides, ranges, strict=True)]
        fitting = max(1, limit // math.prod(lengths))
        sides[axis] *= min(fitting, math.ceil(stop / chunks[axis]) - start // chunks[axis])
    return product(
        *(
            [
                slice(max(at, start), min(at + side, stop))
                for at in range(start - start % chunk, stop, side)
            ]
            for (start, stop), chunk, side in zip(ranges, chunks, sides, strict=True)
        )
    )


def copy_block(target: np.ndarray, block: np.ndarray) -> None:
    """Copy a (z, y, x) array into another, quickly too where its axes are stored in another order.

    NumPy alone takes up to ten times as long over that, because it jumps through the memory of
    one of the two. Here the axes are turned tile by tile inside the processor's cache, and what
    goes to the target are long rows.
    """
    last = int(np.argmin(block.strides))
    if last == 2:
        target[...] = block
        return
    sides = [_TILE, _TILE, _TILE]
    sides[1 - last] = 1
    rows = range(0, block.shape[1 - last], _ROWS)
    for few in ((slice(None),) * (1 - last) + (slice(row, row + _ROWS),) for row in rows):
        part = block[few]
        turned = np.empty(part.shape, target.dtype)
        for tile in boxes([(0, size) for size in part.shape], sides, 1):
            turned[tile] = part[tile].copy("K")
        target[few] = turned


def _ahead(blocks: Iterator[T]) -> Iterator[T]:
    """Yield the same blocks; the next is read while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, blocks, None)
            yield block


def array_files(folder: Path, files: Files) -> list[Path]:
    """Return the files on disk of an array: an archive itself, and all files of a Zarr folder.

    Raises `UserError` for a path that has none.
    """
    paths = []
    for location in file_locations(folder, files):
        if isinstance(location, RemoteZarr):
            raise UserError(f"{location} is an address: a card's files must be on this machine.")
        path = location if isinstance(location, Path) else Path(str(location.root.filename))
        paths += sorted(path.rglob("*")) if path.is_dir() else [path]
    return [path for path in dict.fromkeys(paths) if path.is_file()]
