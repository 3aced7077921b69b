"""A Zarr store that a stranger filled: nothing is read outside of it, and no bomb is unpacked.

Importing this module imports zarr.
"""

import bz2
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Any

from zarr.storage import WrapperStore

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
LARGEST_METADATA = 64 << 20
"""Bytes; the consolidated metadata of a plate of a thousand images take a tenth of that."""
_SPARE, _WIDER = 64 << 10, 8
"""A chunk may be stored so many bytes larger than it is read, and in a type so much wider."""
_HARMLESS = 1 << 30
"""Bytes that a chunk may unpack to before it is first unpacked on trial."""
_DEFLATE_RATIO = 1032
"""How many bytes deflate makes of one, at most."""
_ZSTD_RATIO = 1 << 15
_STEP = 1 << 20
_HEADER = 18
"""Bytes that the header of a frame of zstd has at most."""
_COMPRESSORS = ("gzip", "zlib", "zstd", "bz2", "lzma", "lz4", "blosc")


class GuardedStore(WrapperStore):
    """A store of which keys are checked before, and values after they are read.

    Raises `ValueError` for what leads out of the store, is no plain file, or unpacks to more than
    the metadata let expect.
    """

    def __init__(self, store: Any, root: Path | None = None) -> None:
        """`root` is the folder or the zip file of the store; None at an address."""
        super().__init__(store)
        self._root = root
        self.chunk_bytes: int | None = None
        """The memory that a chunk takes, once the metadata tell."""
        self._sizes: dict[str, int] | None = None
        self._inside: dict[str, bool] = {}
        if root is not None and root.is_file():
            with zipfile.ZipFile(root) as archive:
                self._sizes = {member.filename: member.file_size for member in archive.infolist()}

    def _with_store(self, store: Any) -> "GuardedStore":
        made = copy(self)
        made._store = store
        return made

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return a value, or None where there is none."""
        is_metadata = key.rpartition("/")[2] in METADATA
        limit = LARGEST_METADATA if is_metadata else self._limit()
        if (size := self._size(key)) is None and self._root is not None:
            return None
        if size is not None and size > limit:
            raise ValueError(f"'{key}' has {size:,} bytes, more than its metadata let expect")
        value = await self._store.get(key, prototype, byte_range)
        if value is None or is_metadata:
            return value
        if _unpacks_beyond(memoryview(value.as_numpy_array()), limit):
            raise ValueError(
                f"'{key}' unpacks to more than its metadata say: do not trust this file"
            )
        return value

    def _limit(self) -> int:
        return _SPARE + _WIDER * (self.chunk_bytes or 0)

    def _size(self, key: str) -> int | None:
        """Return the stored bytes of a key, None where there is none, or nobody knows."""
        if self._sizes is not None:
            return self._sizes.get(key)
        if self._root is None:
            return None
        folder, _, name = f"{self._root}/{key}".rpartition("/")
        if folder not in self._inside:  # a link is followed once for all chunks behind it
            self._inside[folder] = self._is_inside(folder)
        try:
            status = os.lstat(f"{folder}/{name}")
            inside = self._inside[folder]
            if stat.S_ISLNK(status.st_mode):
                inside = self._is_inside(f"{folder}/{name}")
                status = os.stat(f"{folder}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(status.st_mode):
            return None
        if not inside:
            raise ValueError(f"'{key}' is a link that leads out of it; copy what it leads to")
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"'{key}' is no plain file, and is not read")
        return status.st_size

    def _is_inside(self, path: str) -> bool:
        assert self._root is not None
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._root))


def require_plain_array(array: Any, free: int) -> int:
    """Return the bytes of a chunk of an array, as a whole of it is read.

    Raises `ValueError` for an array of which a chunk does not fit into `free` bytes of memory, has
    no size, or is compressed more than once.
    """
    sides = array.shards or array.chunks
    if not all(side > 0 for side in sides):
        raise ValueError(f"its chunks have no size: {' × '.join(map(str, sides))}")
    size = array.dtype.itemsize
    for side in sides:
        size *= side
    if size > free:
        shown = " × ".join(map(str, sides))
        raise ValueError(
            f"it is stored in chunks of {shown}, {size / 1e9:,.1f} GB each, and "
            f"{free / 1e9:,.1f} GB of memory are free; store it in smaller chunks"
        )
    metadata = array.metadata.to_dict()
    names = _names_in([metadata.get(each) for each in ("codecs", "filters", "compressor")])
    if sum(name.rpartition(".")[2] in _COMPRESSORS for name in names) > 1:
        raise ValueError("its chunks are compressed more than once")
    return size


def _names_in(codecs: Any) -> Iterator[str]:
    """Yield the names of codecs, those inside of shards too."""
    if isinstance(codecs, Mapping):
        yield from (codecs[key] for key in ("name", "id") if isinstance(codecs.get(key), str))
        codecs = [*codecs.values()]
    for each in codecs if isinstance(codecs, list | tuple) else ():
        yield from _names_in(each)


def _unpacks_beyond(stored: memoryview, limit: int) -> bool:
    """Return whether compressed bytes unpack to more than `limit`; damage is others' to tell."""
    start = bytes(stored[:_HEADER])
    unpacking: Any = None
    if start.startswith((b"\x1f\x8b", b"\x78")):
        if len(stored) * _DEFLATE_RATIO > limit + _HARMLESS:
            unpacking = zlib.decompressobj(47)  # of either header
    elif start.startswith(b"BZh"):
        unpacking = bz2.BZ2Decompressor()
    elif start.startswith(b"\xfd7zXZ"):
        unpacking = lzma.LZMADecompressor()
    elif start.startswith(b"\x28\xb5\x2f\xfd"):
        if (size := _zstd_size(start)) is not None:
            return size > limit
        return _zstd_unpacks_beyond(stored, limit)
    count, data = 0, bytes(stored) if unpacking else b""
    while unpacking is not None and not unpacking.eof:
        try:
            count += len(unpacking.decompress(data, _STEP))
        except (zlib.error, OSError, EOFError, lzma.LZMAError):
            return False
        data = getattr(unpacking, "unconsumed_tail", b"")
        if count > limit:
            return True
        if not data and getattr(unpacking, "needs_input", True):
            return False
    return False


def _zstd_unpacks_beyond(stored: memoryview, limit: int) -> bool:
    """Unpack a frame of zstd that does not say how long it is, on trial."""
    if len(stored) * _ZSTD_RATIO <= limit + _HARMLESS:
        return False
    import imagecodecs

    try:
        imagecodecs.zstd_decode(bytes(stored), out=limit)
    except imagecodecs.ZstdError as error:
        return "too small" in str(error)
    return False


def _zstd_size(data: bytes) -> int | None:
    """Return what the header of a zstd frame says that it unpacks to; None where it does not."""
    flags = (data + b"\0" * 5)[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(data[start : start + width], "little")
    return None if width == 0 else size + 256 if width == 2 else size
