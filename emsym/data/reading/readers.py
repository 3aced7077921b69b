"""Every stored format as one small reader, which opens an array and reads no more than is asked.

A format is added by a function, here, in an installed package (the entry point group
`emsym.readers`, whose names are suffixes) or in a plug-in file:

    @register_reader(".mrc")
    def read_mrc(file, key):
        with mrcfile.mmap(file, "r") as opened:
            yield opened.data
"""

import glob
import math
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, cast

import numpy as np

from emsym.errors import UserError
from emsym.registry import Registry

Location = Path | zipfile.Path
"""A file, a Zarr folder, or a member of a zip archive."""


class Array(Protocol):
    """What a reader gives: slicing it by a tuple of slices reads just that, as a NumPy array.

    Where it is stored in pieces that are best read whole, its `chunks` tell their shape.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype: ...  # noqa: D102
    def __getitem__(self, box: Any, /) -> Any: ...


Reader = Callable[[Path | IO[bytes], str | None], AbstractContextManager[Array]]
"""From a path, or an open archive member, and the `key` of `emsym.data.cards.Files`."""

READERS: Registry[Reader] = Registry("reader", group="emsym.readers")


def register_reader(
    *suffixes: str,
) -> Callable[[Callable[..., Iterator[Array]]], Callable[..., Iterator[Array]]]:
    """Register a generator function that opens a file, yields the array and closes the file.

    It may raise whatever it likes: `open_array` makes a sentence of it. Suffixes are in lower case
    with their dot, and the longest that fits a name counts. Raises `UserError` for one that is
    taken.
    """

    def register(read: Callable[..., Iterator[Array]]) -> Callable[..., Iterator[Array]]:
        for suffix in suffixes:
            summary = (read.__doc__ or "").partition("\n")[0]
            READERS.add(suffix, contextmanager(read), summary=summary, depth=2)
        return read

    return register


@contextmanager
def open_array(location: Location, key: str | None = None) -> Iterator[Array]:
    """The array in a file, by the reader of its suffix; whatever is open is closed at the end.

    Raises `UserError`, which names the file, where no reader knows it, where it cannot be opened,
    and where reading it fails inside of the with-block.
    """
    name = location.name.lower()
    suffix = max(filter(name.endswith, READERS.names()), key=len, default=None)
    if suffix is None:
        if isinstance(location, Path) and location.is_dir():
            raise UserError(f"{location} is a folder: write a pattern, such as '{location}/*.png'.")
        known = ", ".join(READERS.names())
        raise UserError(
            f"{location} is of an unknown kind; known are {known}, and what lies in a zip archive, "
            "as data.zip/*.png."
        )
    reader = READERS.get(suffix)
    try:
        with ExitStack() as stack:
            file = (
                location if isinstance(location, Path) else stack.enter_context(location.open("rb"))
            )
            yield stack.enter_context(reader(file, key))
    except UserError:
        raise
    except Exception as error:  # each library has its own kinds for a damaged file
        told = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{location} cannot be read: {told}.") from error


# --- where files are ------------------------------------------------------------------------------


def find_files(folder: Path, path: str) -> list[Location]:
    """What a path or a pattern stands for, in natural order (2 before 10); empty for nothing.

    It may lead into a zip archive, whose members are never unpacked. Names that begin with a dot
    match no pattern.
    """
    try:
        if (folder / path).exists():
            return [folder / path]
    except OSError:  # such as a name that is too long
        return []
    parts = PurePosixPath(path).parts
    for count in range(1, len(parts)):
        archive = folder.joinpath(*parts[:count])
        if archive.is_file():
            return _members(archive, PurePosixPath(*parts[count:]))
    # the folder is no pattern
    return sorted((folder / name for name in glob.glob(path, root_dir=folder)), key=_natural)


def _members(archive: Path, pattern: PurePosixPath) -> list[Location]:
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive} is not a zip archive, nor a folder.") from error
    names = {PurePosixPath(name): name for name in opened.namelist() if not name.endswith("/")}
    found = [name for name in names if name == pattern] or [
        name
        for name in names
        if len(name.parts) == len(pattern.parts)
        and name.match(str(pattern))
        and not name.name.startswith(".")
    ]
    return sorted((zipfile.Path(opened, names[name]) for name in found), key=_natural)


def _natural(path: Location) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", str(path))
        if part
    ]


# --- formats --------------------------------------------------------------------------------------


@register_reader(".png", ".jpg", ".jpeg")
def read_picture(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """One section; a colour picture must hold shades of grey."""
    from PIL import Image

    with Image.open(file) as image:
        plain = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
        yield _grey(np.asarray(image if plain else image.convert("RGBA")))


@register_reader(".npy")
def read_npy(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """An array saved by NumPy, without pickled objects."""
    with _stream(file) as stream:
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


@register_reader(".tif", ".tiff")
def read_tiff(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """One section, or a page for each; ImageJ's stacks too."""
    import logging

    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is raised, too
    with _stream(file) as stream, tifffile.TiffFile(stream) as tiff:
        series = tiff.series[0]
        if len(tiff.series) > 1:  # pages that were written one by one are a series each
            pages = list(tiff.pages)
            shape = (len(pages), *_flat(tiff.pages[0].shape, tiff.pages[0].axes))
            yield Pages(pages, shape, series.dtype)
        elif series.dataoffset is not None and "S" not in series.axes:
            yield Rows(stream, series.dataoffset, series.shape, series.dtype, tiff.byteorder)
        else:
            yield Pages(list(series.pages), _flat(series.shape, series.axes), series.dtype)


@register_reader(".h5", ".hdf5", ".hdf")
def read_hdf5(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """A data set that lies in the file itself: by its key, or the only one."""
    import h5py

    with h5py.File(file, "r") as opened:
        names: list[str] = []
        opened.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        key = key or (names[0] if len(names) == 1 else None)
        found = opened.get(key) if key else None
        if not isinstance(found, h5py.Dataset):
            raise _no_key(key, names)
        # a stranger's file shall not make this one read the user's other files
        if found.file.filename != opened.filename or found.external or found.is_virtual:
            raise ValueError(f"the data set '{key}' lies in another file; copy it into this one")
        yield found


@register_reader(".zarr", ".zarr.zip")
def read_zarr(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """An array, version 2 or 3, as a folder or zipped; of a group, by its key, or the only one."""
    import zarr

    if not isinstance(file, Path):
        raise ValueError("it is a Zarr inside of an archive; unpack the archive")
    store = (
        zarr.storage.ZipStore(file, mode="r")
        if file.is_file()
        else zarr.storage.LocalStore(file, read_only=True)
    )
    with store:
        root = zarr.open(store, mode="r")
        found: Any = root
        if isinstance(root, zarr.Group):
            members = root.members(max_depth=None)
            names = [name for name, item in members if isinstance(item, zarr.Array)]
            key = key or (names[0] if len(names) == 1 else None)
            found = root.get(key) if key else None
            if not isinstance(found, zarr.Array):
                raise _no_key(key, names)
        yield found


def _no_key(key: str | None, names: list[str]) -> ValueError:
    if not names:
        return ValueError("it holds no data set")
    wrong = f"has no data set at the key '{key}', but" if key else "has several data sets,"
    return ValueError(
        f'it {wrong} {", ".join(sorted(names))}; say which with key = "…" beside its path in the '
        "card, or as FILE:KEY on the command line"
    )


# --- lazy arrays ----------------------------------------------------------------------------------


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
        if [len(side) for side in sides[1:]] == [*self.shape[1:]]:
            return self._read((), sides[0])
        part = np.empty([len(side) for side in sides], self.dtype)
        for row, at in zip(part, sides[0], strict=True):
            row[...] = self._read((at,), sides[1])[(slice(None), *box[2:])]
        return part

    def _read(self, outer: tuple[int, ...], rows: range) -> np.ndarray:
        """Neighbouring rows along the axis that follows those of `outer`."""
        found = np.empty((len(rows), *self.shape[len(outer) + 1 :]), self.dtype)
        before = sum(
            place * math.prod(self.shape[axis + 1 :])
            for axis, place in enumerate((*outer, rows.start))
        )
        self._stream.seek(self._offset + before * self.dtype.itemsize)
        if self._stream.readinto(found.reshape(-1).view(np.uint8)) < found.nbytes:  # type: ignore[attr-defined]
            raise EOFError("the file ends too early")
        return found


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
        section = _grey(self._pages[number].asarray())
        if section.shape != self.shape[-2:]:
            raise ValueError(
                f"page {number} has the shape {section.shape}, the first has {self.shape[-2:]}"
            )
        if not np.can_cast(section.dtype, self.dtype):
            raise ValueError(f"page {number} holds {section.dtype}, the first {self.dtype}")
        return section


def _grey(picture: np.ndarray) -> np.ndarray:
    """(Y, X), or a colour picture (Y, X, channels) or (channels, Y, X) whose colours are alike.

    Alpha, the fourth, does not count.
    """
    if picture.ndim == 2:
        return picture
    colours = picture if picture.shape[-1] <= 4 else np.moveaxis(picture, 0, -1)
    colours = colours[..., :3] if colours.shape[-1] > 2 else colours[..., :1]
    if (colours != colours[..., :1]).any():
        raise ValueError("it is in colour, and sections must be grey")
    return colours[..., 0]


def _flat(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """A shape without the axis of colours, S.

    >>> _flat((5, 40, 36, 3), "QYXS")
    (5, 40, 36)
    """
    return tuple(size for size, axis in zip(shape, axes, strict=True) if axis != "S")


def _stream(file: Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return file.open("rb") if isinstance(file, Path) else nullcontext(file)
