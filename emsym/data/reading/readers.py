"""Files and archive members, found by a path or pattern and opened by the reader of their suffix.

A format is added by a function: in a module of `emsym.data.reading.formats`, in an installed
package (the entry point group `emsym.readers`, whose names are suffixes) or in a plug-in file:

    @register_reader(".mrc")
    def read_mrc(file, key):
        with mrcfile.mmap(file, "r") as opened:
            yield opened.data
"""

import glob
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path, PurePosixPath
from pkgutil import iter_modules

from emsym.data.reading import formats
from emsym.data.reading.registry import READERS, Array, Location, register_reader
from emsym.errors import UserError

__all__ = ["READERS", "Array", "Location", "find_files", "open_array", "register_reader"]

for _module in iter_modules(formats.__path__, f"{formats.__name__}."):
    import_module(_module.name)


@contextmanager
def open_array(location: Location, key: str | None = None) -> Iterator[Array]:
    """Open the array in a file by the reader of its suffix; at the end whatever is open is closed.

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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"{location} cannot be read: {reason}.") from error


# --- where files are ------------------------------------------------------------------------------


def find_files(folder: Path, path: str) -> list[Location]:
    """Return what a path or a pattern stands for, in natural order (2 before 10).

    It may lead into a zip archive, whose members are never unpacked. Names that begin with a dot
    match no pattern. Where there is nothing, the list is empty.
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
    matches = [name for name in names if name == pattern] or [
        name
        for name in names
        if len(name.parts) == len(pattern.parts)
        and name.match(str(pattern))
        and not name.name.startswith(".")
    ]
    return sorted((zipfile.Path(opened, names[name]) for name in matches), key=_natural)


def _natural(path: Location) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", str(path))
        if part
    ]
