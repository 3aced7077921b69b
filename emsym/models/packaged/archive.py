"""Members of a zip archive that a stranger made: read one by one, and none written by its name."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path

from emsym.data.cards import is_inside
from emsym.data.fetching.disk_space import check_space
from emsym.errors import UserError, error_with_type, first_names

LARGEST = 1 << 33
"""Bytes that a member may unpack to; the largest networks of the field take a third of that."""
_RATIO = 100
"""How many times the archive's size that may be: weights can hardly be compressed."""
_ENCRYPTED = 1


def member_names(path: Path) -> list[str]:
    """Return the names of an archive's files; none of what is no archive, or a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [member.filename for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return []


def read_member(path: Path, name: str, largest: int) -> bytes:
    """Return the content of a member of at most `largest` bytes; raises as `extract_member`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(_checked(path, archive, name, largest))
    except UserError:
        raise
    except Exception as error:  # whatever reading a damaged archive raises
        raise _damaged(path, name, error) from error


def extract_member(path: Path, name: str, target: Path) -> Path:
    """Write a member to the file `target`, whatever its own name, and return that.

    Raises `UserError` for a name that leads out of the archive or that two members have, a link, a
    member that is encrypted or larger than its archive lets expect, and one that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = _checked(path, archive, name, LARGEST)
            check_space(target.parent, member.file_size)
            with archive.open(member) as packed, target.open("xb") as file:
                shutil.copyfileobj(packed, file)  # no more than the size that was checked
    except UserError:
        raise
    except Exception as error:  # whatever reading a damaged archive raises
        raise _damaged(path, name, error) from error
    return target


def _checked(path: Path, archive: zipfile.ZipFile, name: str, largest: int) -> zipfile.ZipInfo:
    names = Counter(member.filename for member in archive.infolist())
    if not is_inside(name) or names[name] != 1:
        raise UserError(f"{path} has {names[name]} members of the name {first_names([name])}.")
    member = archive.getinfo(name)
    told = f"The member {first_names([name])} of {path}"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise UserError(f"{told} is a link or a device, and no file.")
    if member.flag_bits & _ENCRYPTED:
        raise UserError(f"{told} is encrypted: unpack it yourself.")
    if member.file_size > min(largest, _RATIO * path.stat().st_size):
        raise UserError(
            f"{told} unpacks to {member.file_size:,} bytes, which no such file has: do not trust "
            "this archive."
        )
    return member


def _damaged(path: Path, name: str, error: Exception) -> UserError:
    return UserError(
        f"The member {first_names([name])} of {path} cannot be read ({error_with_type(error)}): "
        "fetch the archive again."
    )
