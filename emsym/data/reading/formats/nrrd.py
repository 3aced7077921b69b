"""NRRD files, whose header and data are one."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emsym.data.reading.axes import NamedArray, axis_letter
from emsym.data.reading.registry import Array, from_extra, register_reader
from emsym.data.reading.rows import open_stream


@register_reader(".nrrd")
def read_nrrd(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """A volume, its fastest axis x unless its header says otherwise; needs emsym[formats]."""
    nrrd = from_extra("nrrd", "formats")
    with open_stream(file) as stream:
        header = nrrd.read_header(stream)
        # a stranger's file shall not make this one read the user's other files
        if "data file" in header or "datafile" in header:
            raise ValueError("its data lie in another file; save both as one .nrrd")
        values = nrrd.read_data(header, stream, index_order="C")
    yield NamedArray(values, "".join(reversed(_axes(header))))


def _axes(header: Any) -> list[str]:
    """The letters of its axes, fastest first: by their labels, or else by their kinds."""
    labels, kinds = header.get("labels", []), header.get("kinds", [])
    count = int(header["dimension"])
    if len(labels) == count and all(labels):
        return [axis_letter(label.strip('"')) for label in labels]
    if len(kinds) != count:
        return ["?"] * count
    spatial = iter("xyz")
    return [
        next(spatial, "?") if kind in ("domain", "space") else "t" if kind == "time" else "c"
        for kind in kinds
    ]
