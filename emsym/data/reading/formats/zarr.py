"""Zarr arrays, as folders, zipped or at an address, and OME-Zarr."""

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from emsym.data.reading.axes import NamedArray, axis_letter
from emsym.data.reading.file_key import missing_key
from emsym.data.reading.registry import READERS, Array, RemoteZarr, register_reader
from emsym.errors import first_line

_LEVELS = 32
"""The most levels that are looked at: each halves a volume, and no volume is 2³² pixels wide."""

_SCHEMES = ("http", "https", "s3", "gs", "gcs", "az", "abfs")


@register_reader(".zarr", ".zarr.zip")
def read_zarr(file: Path | IO[bytes] | RemoteZarr, key: str | None) -> Iterator[Array]:
    """An array, version 2 or 3, as a folder or zipped; of a group, by its key, or the only one."""
    import psutil

    from emsym.data.reading.guarded_zarr import require_plain_array

    with _plain_errors(file), ExitStack() as stack:
        store = stack.enter_context(_store(file))
        try:
            item, axes, notes = _opened(store, file, key)
        except Exception as error:
            if type(error).__name__ != "NoCredentialsError":  # of botocore, for s3
                raise
            # who has no account may read what is public
            store = stack.enter_context(_store(file, anon=True))
            item, axes, notes = _opened(store, file, key)
        store.chunk_bytes = require_plain_array(item, psutil.virtual_memory().available)
        yield NamedArray(item, axes or _axes(item), notes)


def _opened(
    store: Any, file: Path | IO[bytes] | RemoteZarr, key: str | None
) -> tuple[Any, str, list[str]]:
    """Return the array that is meant, its axes, where its group names them, and what to say."""
    import zarr

    try:
        with warnings.catch_warnings():  # of a web page that stands for every file
            warnings.filterwarnings("ignore", "Both zarr.json")
            root: Any = zarr.open(store, mode="r")
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError("its metadata are not those of a Zarr") from error
    item = root.get(key) if key and isinstance(root, zarr.Group) else root
    axes, notes = "", list[str]()
    if isinstance(item, zarr.Group):
        item, axes, notes = _finest(item)
    if isinstance(item, zarr.Array):
        return item, axes, notes
    if isinstance(file, RemoteZarr) and root.metadata.consolidated_metadata is None:
        at = f"no array at the key '{key}'" if key else "a group there, whose arrays are not listed"
        raise ValueError(f"there is {at}; end the address with the path of an array")
    members = root.members(max_depth=None)
    arrays = {name: each for name, each in members if isinstance(each, zarr.Array)}
    if key or len(arrays) != 1:
        raise missing_key(key, [*arrays])
    return next(iter(arrays.values())), axes, notes


def _store(file: Path | IO[bytes] | RemoteZarr, **options: Any) -> Any:
    import zarr

    from emsym.data.reading.guarded_zarr import GuardedStore

    if isinstance(file, RemoteZarr):
        _require_zarr_address(file)
        try:
            made = zarr.storage.FsspecStore.from_url(file.url, options, read_only=True)
            return GuardedStore(made)
        except ImportError as error:
            raise ValueError(
                "addresses need another package, pip install 'emsym[remote]'"
            ) from error
    if not isinstance(file, Path):
        raise ValueError("it is a Zarr inside of an archive; unpack the archive")
    if file.is_file():
        return GuardedStore(zarr.storage.ZipStore(file, mode="r"), file)
    return GuardedStore(zarr.storage.LocalStore(file, read_only=True), file)


@contextmanager
def _plain_errors(file: Path | IO[bytes] | RemoteZarr) -> Iterator[None]:
    """Raise `ValueError` in plain words for what libraries say of bad metadata and addresses."""
    import zarr

    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(file, RemoteZarr):
            raise ValueError(
                "its server answers something else than a Zarr's metadata, such as a web page; "
                "check the address"
            ) from error
        raise ValueError("its metadata are damaged: they are no JSON") from error
    except (zarr.errors.GroupNotFoundError, zarr.errors.ArrayNotFoundError) as error:
        raise ValueError(_absence(file)) from error
    except (OSError, TimeoutError) as error:
        if isinstance(file, RemoteZarr):
            raise ValueError(_no_answer(file, error)) from error
        raise
    except Exception as error:
        if isinstance(file, RemoteZarr) and _broken_off(error):
            raise ValueError(
                "its server broke off in the middle of an answer; try again"
            ) from error
        status = getattr(error, "status", None)  # of aiohttp, which is imported where it is needed
        if not (isinstance(file, RemoteZarr) and isinstance(status, int)):
            raise
        said = f"{status} {getattr(error, 'message', '')}".strip()
        way = "try again later" if status >= 500 else "it may need a password, or not exist"
        raise ValueError(f"its server answers '{said}'; {way}") from error


def _broken_off(error: Exception) -> bool:
    """Return whether an error is aiohttp's of an answer that ends too early."""
    return type(error).__name__ in ("ClientPayloadError", "ServerDisconnectedError")


def _require_zarr_address(file: RemoteZarr) -> None:
    """Raise `ValueError` for an address of another kind of file, or of none."""
    scheme, _, rest = file.url.partition("://")
    if scheme.lower() not in _SCHEMES or not rest.strip("/"):
        raise ValueError(
            f"addresses that are read begin with {', '.join(f'{each}://' for each in _SCHEMES)}; "
            "of what is on this machine give the path alone"
        )
    others = [name for name in READERS.names() if ".zarr" not in name]
    if suffix := max(filter(file.name.lower().endswith, others), key=len, default=""):
        raise ValueError(
            f"of addresses Zarr alone is read, and no {suffix} file; download it, and give that"
        )


def _absence(file: Path | IO[bytes] | RemoteZarr) -> str:
    """Return half a sentence about a place where there is no Zarr."""
    absent = "there is no Zarr, which would have a zarr.json, .zarray or .zgroup"
    if not isinstance(file, RemoteZarr):
        return absent
    return f"{absent}; check the address, or where it is a file of another kind, download it"


def _no_answer(file: RemoteZarr, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return _absence(file)
    if isinstance(error, PermissionError):
        return f"its server refuses it ({first_line(error)}); it may need an account, or not exist"
    return f"no server answers there ({first_line(error)}); check the address and your network"


def _finest(group: Any) -> tuple[Any, str, list[str]]:
    """The finest level of an OME-Zarr image, its axes, and what to say; else the group itself."""
    attributes = dict(group.attrs)
    try:
        images = attributes.get("ome", attributes).get("multiscales") or []
        if not images:
            return group, "", []
        if len(images) == 1:
            levels = [str(level["path"]) for level in images[0]["datasets"]]
            axes = [
                axis if isinstance(axis, str) else axis["name"]
                for axis in images[0].get("axes", ())
            ]
            finest = max(levels[:_LEVELS], key=lambda level: group[level].size)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "its multiscale metadata lead to no array in it; give the key of one"
        ) from error
    if len(images) > 1:
        raise ValueError(f"it holds {len(images)} multiscale images; give the key of an array")
    array = group[finest]
    if not axes and array.ndim == 5:  # what the format was before it named them
        axes = [*"tczyx"]
    others = f" of {len(levels)}" if len(levels) > 1 else ""
    note = f"The finest level{others} of the multiscale image was read, '{finest}'."
    return array, "".join(map(axis_letter, axes)), [note]


def _axes(array: Any) -> str:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get(
        "_ARRAY_DIMENSIONS", ()
    )
    return "".join(map(axis_letter, names))
