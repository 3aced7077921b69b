"""Data sets of HDF5 files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emsym.data.reading.axes import NamedArray, axis_letter
from emsym.data.reading.file_key import missing_key
from emsym.data.reading.registry import Array, register_reader


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
        data_set = opened.get(key) if key else None
        if not isinstance(data_set, h5py.Dataset):
            raise missing_key(key, names)
        # a stranger's file shall not make this one read the user's other files
        if data_set.file.filename != opened.filename or data_set.external or data_set.is_virtual:
            raise ValueError(f"the data set '{key}' lies in another file; copy it into this one")
        yield NamedArray(data_set, _axes(data_set))


def _axes(data_set: Any) -> str:
    """The letters of its axes: by vigra's tags, as ilastik writes them, labels, or scales."""
    if "axistags" in data_set.attrs:
        tags = json.loads(data_set.attrs["axistags"])["axes"]
        return "".join(axis_letter(tag["key"]) for tag in tags)
    names = [
        dimension.label or (dimension[0].name.rpartition("/")[2] if len(dimension) else "")
        for dimension in data_set.dims
    ]
    return "".join(map(axis_letter, names))
