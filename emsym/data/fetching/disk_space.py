"""Refusing what the disk has no room for."""

import shutil
from pathlib import Path

from emsym.errors import UserError


def check_space(folder: Path, size: int) -> None:
    """Raise `UserError` where the disk that holds a folder has no room for so many bytes."""
    if (free := shutil.disk_usage(folder).free) < size:
        raise UserError(
            f"{_bytes(size)} are needed in {folder}, but only {_bytes(free)} are free: make room, "
            "or set EMSYM_DATA_DIR to a folder elsewhere."
        )


def _bytes(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)
