"""Files and archive members, found by a path or pattern and opened by the reader of their suffix.

A format is added by a function: in a module of `emsym.data.reading.formats`, in an installed
package (the entry point group `emsym.readers`, whose names are suffixes) or in a plug-in file:

    @register_reader(".fits")
    def read_fits(file, key):
        with fits.open(file) as opened:
            yield opened[int(key or 0)].data
"""

import glob
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import groupby
from pathlib import Path, PurePosixPath
from pkgutil import iter_modules

from emsym.data.reading import formats
from emsym.data.reading.registry import READERS, Array, Location, RemoteZarr, register_reader
from emsym.data.reading.section_order import in_order
from emsym.errors import UserError, first_names

__all__ = ["READERS", "Array", "Location", "find_files", "open_array", "register_reader"]

for _module in iter_modules(formats.__path__, f"{formats.__name__}."):
    import_module(_module.name)


@contextmanager
def open_array(location: Location, key: str | None = None) -> Iterator[Array]:
    """Open the array in a file by the reader of its suffix; at the end whatever is open is closed.

    Raises `UserError`, which names the file, where no reader knows it, where it cannot be opened,
    and where reading it fails inside of the with-block.
    """
    location, key = _inside(location, key)
    suffix = _suffix(location)
    if suffix is None:
        if isinstance(location, Path) and location.is_dir():
            raise UserError(f"{location} is a folder: write a pattern, such as '{location}/*.png'.")
        known = ", ".join(READERS.names())
        raise UserError(
            f"{location} is of an unknown kind; known are {known}, and what lies in a zip archive, "
            "as data.zip/*.png."
        )
    if isinstance(location, Path) and location.exists() and not _is_stored(location):
        raise UserError(f"{location} is neither a file nor a folder, and is not read.")
    if isinstance(location, Path) and location.is_dir() and _is_file_format(suffix):
        raise UserError(
            f"{location} is a folder with the name of a file: write a pattern, such as "
            f"'{location}/*.png', or give the file that is meant."
        )
    reader = READERS.get(suffix)
    try:
        with ExitStack() as stack:
            file = (
                stack.enter_context(location.open("rb"))
                if isinstance(location, zipfile.Path)
                else location
            )
            yield stack.enter_context(reader(file, key))
    except UserError:
        raise
    except Exception as error:  # each library has its own kinds for a damaged file
        raise UserError(f"{location} cannot be read: {_reason(location, error)}.") from error


def _reason(location: Location, error: Exception) -> str:
    """Return half a sentence for what a library says of a file."""
    if isinstance(location, Path) and location.is_file() and location.stat().st_size == 0:
        return "it is empty; was it copied whole?"
    if type(error).__name__ == "UnidentifiedImageError":  # of Pillow, which tells an object
        return "it is no picture of the kind that its name says, or is damaged"
    if "mmap length is greater" in str(error):
        return "it ends too early; was it copied whole?"
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _suffix(location: Location) -> str | None:
    """The suffix, of those that have a reader, that fits a name best."""
    name = location.name.lower()
    if isinstance(location, RemoteZarr) or (isinstance(location, Path) and _is_zarr(location)):
        return ".zarr"
    return max(filter(name.endswith, READERS.names()), key=len, default=None)


def _inside(location: Location, key: str | None) -> tuple[Location, str | None]:
    """Split a path that leads into a Zarr folder into that folder and the key."""
    if isinstance(location, Path) and location.is_dir() and not _suffix(location):
        for folder in location.parents:
            if folder.name.lower().endswith(".zarr"):
                inner = location.relative_to(folder).as_posix()
                return folder, f"{inner}/{key}" if key else inner
    return location, key


def _is_zarr(path: Path) -> bool:
    """Whether a folder, whatever its name, holds what describes a Zarr array or group."""
    return not path.name.lower().endswith(".zarr") and any(
        (path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup")
    )


def _is_file_format(suffix: str) -> bool:
    """Return whether a folder is no such thing; what a plug-in reads may be one."""
    return suffix in READERS.own_names() and not suffix.startswith(".zarr")


def _is_stored(path: Path) -> bool:
    return path.is_file() or path.is_dir()


# --- where files are ------------------------------------------------------------------------------


def find_files(folder: Path, path: str) -> list[Location]:
    """Return what a path or a pattern stands for: sections in the order that their names count.

    A folder of images stands for these. A path may lead into a zip archive, whose members are never
    unpacked. Names that begin with a dot match no pattern. Where there is nothing, the list is
    empty. Raises `UserError` for a folder of several kinds of images, and where names tell no
    order.
    """
    if re.match(r"(?i)[a-z][a-z0-9+]+://", path):
        return [RemoteZarr(path)]
    try:
        if (folder / path).exists():
            return _of_path(folder / path)
    except OSError:  # such as a name that is too long
        return []
    parts = PurePosixPath(path).parts
    count = 0
    for count in range(len(parts) - 1, 0, -1):
        above = folder.joinpath(*parts[:count])
        if above.is_file():
            return _members(above, PurePosixPath(*parts[count:]))
        if above.is_dir():  # which is no pattern, whatever signs its name holds
            folder, parts = above, parts[count:]
            break
    matches = glob.glob(str(PurePosixPath(*parts)), root_dir=folder) if parts else []
    return _sections(f"{folder}/{'/'.join(parts)}", [folder / name for name in matches])


def _of_path(path: Path) -> list[Location]:
    """A file, what a reader takes a folder for, or the images in it, all of one kind."""
    if not path.is_dir() or _suffix(_inside(path, None)[0]):
        return [path]
    images: dict[str, list[Location]] = {}
    for file in sorted(path.iterdir()):
        if (suffix := _suffix(file)) and file.is_file() and not file.name.startswith("."):
            images.setdefault(suffix, []).append(file)
    if len(images) != 1:
        content = f"images of {len(images)} kinds, {', '.join(images)}" if images else "no image"
        raise UserError(f"The folder {path} holds {content}: give a pattern, '{path}/*.png'.")
    return _sections(str(path), *images.values())


def _sections(name: str, locations: Sequence[Location]) -> list[Location]:
    """Put sections in order by what their names count; those of a folder each by its name."""
    files = sorted(locations, key=_natural)
    folders = dict.fromkeys(str(file.parent) for file in files)
    if len(folders) == len(files):
        return files
    try:
        files = [files[place] for place in in_order([file.name for file in files])]
    except ValueError as error:
        if len(folders) == 1:
            raise UserError(f"The files of {name} {error}.") from error
        files = []
    if [folder for folder, _ in groupby(str(file.parent) for file in files)] != [*folders]:
        raise UserError(
            f"{name} stands for files in {len(folders)} folders, {first_names(folders)}, and their "
            "numbers do not go on from one to the next: give a pattern that fits one of them."
        )
    return files


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
    return _sections(
        f"{archive}/{pattern}", [zipfile.Path(opened, names[name]) for name in matches]
    )


def _natural(path: Location) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", str(path.parent))
        if part
    ]
