"""The folder of what emsym keeps on this machine, and what has been fetched into it."""

import hashlib
import shutil
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from emsym.data.cards import Card, Checksum, is_inside
from emsym.errors import UserError
from emsym.files import write_atomically
from emsym.paths import cards_folder, data_dir

MARKER = "fetched.json"


class InvalidFileError(UserError):
    """A file is not what it should be; what is wrong with it."""


def card_folder(card: Card) -> Path:
    """Where what is fetched for a card lies. Cards of one name in two places are two data sets."""
    name = card.card_name
    if card.folder != cards_folder():
        name += f"-{hashlib.sha256(str(card.folder.resolve()).encode()).hexdigest()[:8]}"
    return data_dir() / "datasets" / name


def source_folder(card: Card, source: str) -> Path:
    """Where a source's files lie: beside the card, or in emsym's folder."""
    if not card.sources or not card.sources[source].files:
        return card.folder
    return card_folder(card) / source


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


def _inside(name: str) -> str:
    if not is_inside(name):
        raise ValueError("leads out of the folder")
    return name


class VerifiedFile(BaseModel, frozen=True, extra="forbid"):
    """A file whose content is known, as long as its size and its time do not change."""

    checksum: Checksum
    size: Annotated[int, Field(ge=0)]
    mtime_ns: int

    def is_unchanged(self, path: Path) -> bool:
        """Whether the file is there and was not touched since."""
        try:
            now = path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns)


class FetchedFile(VerifiedFile, frozen=True):
    """A file that was fetched and verified."""

    pinned: bool = False
    """Nobody published a checksum: this one is of what came first."""
    members: dict[Annotated[str, AfterValidator(_inside)], VerifiedFile] = {}
    """What was unpacked from it."""

    def is_complete(self, folder: Path, name: str) -> bool:
        """Whether the file, and all that was unpacked from it, is there and untouched."""
        members = (member.is_unchanged(folder / path) for path, member in self.members.items())
        return self.is_unchanged(folder / name) and all(members)


class _Marker(BaseModel, frozen=True, extra="forbid"):
    files: dict[str, FetchedFile] = {}


def verified_file(path: Path, checksum: str) -> VerifiedFile:
    """A file as it is now."""
    now = path.stat()
    return VerifiedFile(checksum=checksum, size=now.st_size, mtime_ns=now.st_mtime_ns)


def read_marker(folder: Path) -> dict[str, FetchedFile]:
    """What was fetched into a folder, by name; nothing where the marker is absent or damaged."""
    try:
        return dict(_Marker.model_validate_json((folder / MARKER).read_bytes()).files)
    except (OSError, ValidationError):
        return {}


def write_marker(folder: Path, files: dict[str, FetchedFile]) -> None:
    """Remember what was fetched into a folder."""
    write_atomically(folder / MARKER, _Marker(files=files).model_dump_json(indent=1))
