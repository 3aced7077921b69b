"""Zarr arrays, as folders or zipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emsym.data.reading.file_key import missing_key
from emsym.data.reading.registry import Array, register_reader


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
        array: Any = root
        if isinstance(root, zarr.Group):
            members = root.members(max_depth=None)
            names = [name for name, item in members if isinstance(item, zarr.Array)]
            key = key or (names[0] if len(names) == 1 else None)
            array = root.get(key) if key else None
            if not isinstance(array, zarr.Array):
                raise missing_key(key, names)
        yield array
