"""Data sets of HDF5 files."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

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
        yield data_set
