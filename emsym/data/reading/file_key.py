"""``FILE:KEY``: an array inside a file that holds several, in the words of the command line."""

import re

_FILE_KEY = re.compile(
    r"(?P<file>.+\.(?:h5|hdf5|hdf|zarr|zarr\.zip)/?):/*(?P<key>[^:\\]+?)/*"
    r"|(?P<zarr>.+\.zarr(?:\.zip)?)[/\\]+(?P<inside>[^*?]*?)[/\\]*"
    r"|(?P<tiff>.+\.tiff?):(?P<image>\d+)",
    re.IGNORECASE,
)


def split_file_key(path: str) -> tuple[str, str | None]:
    r"""Split ``FILE:KEY`` into the file and the key, which is None where the path has none.

    Only a file of a format with several arrays has a key: HDF5, Zarr, whose key may follow as part
    of the path too, and TIFF, which numbers its images.

    >>> split_file_key("a.h5:volumes/raw"), split_file_key("a.zarr.zip:raw")
    (('a.h5', 'volumes/raw'), ('a.zarr.zip', 'raw'))
    >>> split_file_key("a.zarr/volumes/raw"), split_file_key("a.zarr/"), split_file_key("a.tif:1")
    (('a.zarr', 'volumes/raw'), ('a.zarr', None), ('a.tif', '1'))
    >>> split_file_key("a:b.tif"), split_file_key(r"C:\a.h5")
    (('a:b.tif', None), ('C:\\a.h5', None))
    """
    match = _FILE_KEY.fullmatch(path)
    if match is None:
        return path, None
    file = match["file"] or match["zarr"] or match["tiff"]
    key = (match["key"] or match["inside"] or match["image"] or "").replace("\\", "/")
    return file.rstrip("/"), key or None


def missing_key(key: str | None, names: list[str]) -> ValueError:
    """Return the error for a file whose arrays, called `names`, none is meant by `key`."""
    if not names:
        return ValueError("it holds no data set")
    wrong = f"has no data set at the key '{key}', but" if key else "has several data sets,"
    return ValueError(
        f'it {wrong} {", ".join(sorted(names))}; say which with key = "…" beside its path in the '
        "card, or as FILE:KEY on the command line"
    )
