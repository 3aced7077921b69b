"""The registry of readers, by the suffixes of the files that they open."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emsym.registry import Registry

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class RemoteZarr:
    """A Zarr at an address, of which only the chunks that are needed are fetched."""

    url: str

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> str:
        """The part of the address before its name."""
        return self.url.rstrip("/").rpartition("/")[0]

    def __str__(self) -> str:
        return self.url


Location = Path | zipfile.Path | RemoteZarr
"""A file, a Zarr folder, a member of a zip archive, or a Zarr at an address."""


class Array(Protocol):
    """An array that a reader yields.

    Slicing it by a tuple of slices reads just that, as a NumPy array.
    Where it is stored in pieces that are best read whole, its `chunks` tell their shape. Where the
    file names them, `axes` has a letter for each stored axis, ``?`` for one without a name; and
    `notes` is what a person should know of how it is read, a sentence each.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> "np.dtype": ...  # noqa: D102
    def __getitem__(self, box: Any, /) -> Any: ...


Reader = Callable[[Any, str | None], AbstractContextManager[Array]]
"""Opens a path, or an open archive member, at the `key` of `emsym.data.cards.Files`."""

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


def from_extra(module: str, extra: str) -> Any:
    """Import a module that comes with an extra of this package.

    Raises `ValueError`, with the command that installs it, where it is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(
            f"that needs the package {module}: pip install 'emsym[{extra}]'"
        ) from error
