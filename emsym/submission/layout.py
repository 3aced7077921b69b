"""The files that a submission's folder may hold, checked before any of them is opened.

A submission comes from a stranger. Nothing in it is run, unpickled, unpacked to disk or followed:
only plain files of known names and bounded sizes are ever read.
"""

import os
import re
import stat
from pathlib import Path

from emsym.errors import UserError, first_names

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
"""A submission's name, that of its folder."""

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ .]*(\..*)?")
"""Names of devices, which no folder or file of Windows can have, with or without an extension."""

SHEET, MANIFEST, CELLS = "submission.toml", "manifest.json", "cells.csv"
KB, MB = 1 << 10, 1 << 20
_PART = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,159}"
_ALLOWED = [
    (re.compile(re.escape(SHEET)), 16 * KB),
    (re.compile(re.escape(MANIFEST)), MB),
    (re.compile(re.escape(CELLS)), 48 * MB),  # code hosts warn of files from 50 MB on
    (re.compile(rf"images/{_PART}\.npz"), 48 * MB),
    (re.compile(rf"examples/{_PART}\.npz"), 8 * MB),
    (re.compile(rf"plugins/{_PART}\.py"), 256 * KB),
]
"""Names of files, and how large each may be."""
MAX_FILES, MAX_BYTES = 2000, 256 * MB
_FOLDERS = ("images", "examples", "plugins")


def check_name(name: str) -> str:
    """The name of a submission. Raises `UserError` for one that cannot be a folder's anywhere."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"A submission cannot be called '{first_names([name])}': take small letters, digits "
            "and hyphens, 40 at most, beginning with a letter or digit."
        )
    if _RESERVED.fullmatch(name):
        raise UserError(
            f"A submission cannot be called '{name}': on Windows that is a device, and nobody "
            "there could check it out. Choose another name."
        )
    return name


def files(folder: Path) -> dict[str, Path]:
    """The files of a submission, by their names relative to its folder, with ``/``.

    Raises `UserError`, naming what is wrong: a link, a device, a name that is not known, a file or
    a whole that is too large, a folder inside a folder.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder} is not a submission: name the folder that holds its {SHEET}.")
    paths: dict[str, Path] = {}
    total = 0
    for entry, name in _entries(folder, ""):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and name in _FOLDERS:
            continue
        shown = folder / first_names([name])
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                f"{shown} is no plain file but a link, a folder or a device: take it out."
            )
        limit = next((most for known, most in _ALLOWED if known.fullmatch(name)), None)
        if limit is None:
            raise UserError(f"{shown} is no file of a submission: take it out.")
        if _RESERVED.fullmatch(entry.name):
            raise UserError(
                f"{shown} has the name of a device of Windows, and nobody there could check it "
                "out: rename it."
            )
        if status.st_size > limit:
            less = ": submit fewer data sets or architectures at once"
            raise UserError(
                f"{shown} holds {status.st_size:,} bytes and may hold {limit:,}"
                f"{less if limit > MB else ''}."
            )
        total += status.st_size
        paths[name] = Path(entry.path)
        if len(paths) > MAX_FILES or total > MAX_BYTES:
            raise UserError(
                f"{folder} is too large: a submission has {MAX_FILES:,} files and {MAX_BYTES:,} "
                "bytes at most."
            )
    for name in (SHEET, MANIFEST, CELLS):
        if name not in paths:
            raise UserError(f"{folder / name} is missing: `emsym-bench submit` writes it.")
    return dict(sorted(paths.items()))


def _entries(folder: Path, before: str) -> "list[tuple[os.DirEntry[str], str]]":
    """The paths in a folder and in those of its folders that a submission has; follows no link."""
    listed = []
    with os.scandir(folder) as entries:
        for entry in entries:
            listed.append((entry, f"{before}{entry.name}"))
            if len(listed) > MAX_FILES:
                raise UserError(f"{folder} is too large: it has over {MAX_FILES:,} entries.")
    for entry, name in list(listed):
        if not before and name in _FOLDERS and entry.is_dir(follow_symlinks=False):
            listed += _entries(Path(entry.path), f"{name}/")
    return listed


def group_file(kind: str, dataset: str, architecture: str) -> str:
    """Where the ``images`` or ``examples`` of all cells of a data set and an architecture lie.

    >>> group_file("images", "vnc:synapses", "unet-resnet34")
    'images/vnc-synapses--unet-resnet34.npz'
    """
    return f"{kind}/{dataset.replace(':', '-')}--{architecture}.npz"
