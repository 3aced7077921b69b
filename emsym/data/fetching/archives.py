"""Unpacking an archive that a stranger made."""

import errno
import hashlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from emsym.data.cards import is_inside
from emsym.data.fetching.disk_space import check_space
from emsym.data.fetching.fetched_files import InvalidFileError
from emsym.errors import UserError

ZIP, TAR = (".zip",), (".tar", ".tar.gz", ".tgz")
ARRAY = ".zarr.zip"
"""An array that is read as it is."""
CHUNK = 1 << 20
MOST, SMALL = 200, 1 << 20
"""How much more than its size an archive may unpack to, where labels of few values go far; what is
smaller than `SMALL` bytes counts as that."""

_NAME_ERRORS = (None, errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""Errors that names of an archive's members bring about."""


class _Member(NamedTuple):
    name: str
    size: int
    is_file: bool
    open: Callable[[], Any]


def is_archive(name: str) -> bool:
    """Return whether a file of that name is unpacked.

    >>> is_archive("snemi.zip"), is_archive("training.tif"), is_archive("volume.zarr.zip")
    (True, False, False)
    """
    return name.lower().endswith(ZIP + TAR) and not name.lower().endswith(ARRAY)


def unpack(
    archive: Path, folder: Path, taken: Collection[str] = (), size: int | None = None
) -> dict[str, str]:
    """Unpack all files into a folder; their names with the checksum of each.

    Nothing is written where a member would leave the folder, is a link or a device, or has one of
    the names `taken`, where all come to over `MOST` times the archive's `size`, which is about that
    of its card or else its own, or where the disk has no room; and nothing is in its place before
    all is unpacked. Raises `InvalidFileError`, naming the member, or saying how the archive is
    damaged.
    """
    aside = folder / f".{archive.name}.unpacking"  # on the same disk, so that moving is renaming
    shutil.rmtree(aside, ignore_errors=True)
    limit = MOST * max(size or archive.stat().st_size, SMALL)
    try:
        with _members(archive) as listed:
            members, total = [], 0
            for member in listed:
                _check_member(archive, member, taken)
                members.append(member)
                total += member.size
                if total > limit:
                    raise InvalidFileError(
                        f"{archive.name} is not unpacked: it comes to over {limit:,} bytes, "
                        f"{MOST} times its size; unpack it yourself if that is meant"
                    )
            check_space(folder, total)
            sums = {_member_path(member): _write_member(member, aside) for member in members}
        for name in sums:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).replace(folder / name)
    except OSError as error:
        if error.errno not in _NAME_ERRORS:  # the disk's fault, not the archive's
            raise
        raise InvalidFileError(f"{archive.name} is damaged ({error})") from error
    except UserError:
        raise
    except Exception as error:  # whatever reading a damaged archive raises
        raise InvalidFileError(f"{archive.name} is damaged ({error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sums


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Yield the members of an archive except folders, which come with their files."""
    if archive.name.lower().endswith(ZIP):
        with zipfile.ZipFile(archive) as opened:
            yield (
                _Member(
                    info.filename,
                    info.file_size,
                    # what was not packed under Unix has no mode
                    stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG),
                    partial(opened.open, info),
                )
                for info in opened.infolist()
                if not info.is_dir()
            )
    else:
        with tarfile.open(archive) as tar:
            yield (
                _Member(info.name, info.size, info.isreg(), partial(tar.extractfile, info))
                for info in tar
                if not info.isdir()
            )


def _member_path(member: _Member) -> str:
    return PurePosixPath(member.name).as_posix()  # without ./


def _check_member(archive: Path, member: _Member, taken: Collection[str]) -> None:
    wrong = None
    if not is_inside(member.name):
        wrong = "lies outside of it"
    elif not member.is_file:
        wrong = "is a link or a device"
    elif _member_path(member) in taken:
        wrong = "has the name of another file"
    if wrong:
        raise InvalidFileError(
            f"{archive.name} is not unpacked: its member '{member.name}' {wrong}"
        )


def _write_member(member: _Member, folder: Path) -> str:
    target = folder / _member_path(member)
    target.parent.mkdir(parents=True, exist_ok=True)
    sha = hashlib.sha256()
    with target.open("wb") as file, member.open() as content:
        while chunk := content.read(CHUNK):
            file.write(chunk)
            sha.update(chunk)
    return f"sha256:{sha.hexdigest()}"
