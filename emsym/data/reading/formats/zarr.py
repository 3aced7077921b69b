"""Zarr arrays, as folders, zipped or at an address, and OME-Zarr."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emsym.data.reading.axes import NamedArray, axis_letter
from emsym.data.reading.file_key import missing_key
from emsym.data.reading.registry import Array, RemoteZarr, register_reader


@register_reader(".zarr", ".zarr.zip")
def read_zarr(file: Path | IO[bytes] | RemoteZarr, key: str | None) -> Iterator[Array]:
    """An array, version 2 or 3, as a folder or zipped; of a group, by its key, or the only one."""
    import zarr

    with _store(file) as store:
        root: Any = zarr.open(store, mode="r")
        item = root.get(key) if key and isinstance(root, zarr.Group) else root
        axes, notes = "", list[str]()
        if isinstance(item, zarr.Group):
            item, axes, notes = _finest(item)
        if not isinstance(item, zarr.Array):
            if isinstance(file, RemoteZarr):  # which need not tell what it holds
                raise ValueError(
                    f"there is no array at the key '{key or ''}'; end the address with its path"
                )
            members = root.members(max_depth=None)
            arrays = {name: each for name, each in members if isinstance(each, zarr.Array)}
            if key or len(arrays) != 1:
                raise missing_key(key, [*arrays])
            (item,) = arrays.values()
        yield NamedArray(item, axes or _axes(item), notes)


def _store(file: Path | IO[bytes] | RemoteZarr) -> Any:
    import zarr

    if isinstance(file, RemoteZarr):
        try:
            return zarr.storage.FsspecStore.from_url(file.url, read_only=True)
        except ImportError as error:
            raise ValueError(
                "addresses need another package, pip install 'emsym[remote]'"
            ) from error
    if not isinstance(file, Path):
        raise ValueError("it is a Zarr inside of an archive; unpack the archive")
    if file.is_file():
        return zarr.storage.ZipStore(file, mode="r")
    return zarr.storage.LocalStore(file, read_only=True)


def _finest(group: Any) -> tuple[Any, str, list[str]]:
    """The finest level of an OME-Zarr image, its axes, and what to say; else the group itself."""
    attributes = dict(group.attrs)
    images = attributes.get("ome", attributes).get("multiscales") or []
    if not images:
        return group, "", []
    if len(images) > 1:
        raise ValueError(f"it holds {len(images)} multiscale images; give the key of an array")
    levels = [level["path"] for level in images[0]["datasets"]]
    array = group[levels[0]]
    axes = [axis if isinstance(axis, str) else axis["name"] for axis in images[0].get("axes", ())]
    if not axes and array.ndim == 5:  # what the format was before it named them
        axes = [*"tczyx"]
    others = f" of {len(levels)}" if len(levels) > 1 else ""
    note = f"The finest level{others} of the multiscale image was read, '{levels[0]}'."
    return array, "".join(map(axis_letter, axes)), [note]


def _axes(array: Any) -> str:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get(
        "_ARRAY_DIMENSIONS", ()
    )
    return "".join(map(axis_letter, names))
