"""The folder of what emsym keeps on this machine, and what has been fetched into it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from emsym.data.cards import Card, Checksum, is_inside
from emsym.data.fetching.download_listener import DownloadListener
from emsym.errors import UserError
from emsym.files import write_atomically
from emsym.paths import cards_folder, data_dir

MARKER = "fetched.json"


class InvalidFileError(UserError):
    """A file has another checksum, size or content than it should; the text says which."""


def card_folder(card: Card) -> Path:
    """Return the folder of what is fetched for a card.

    Cards of one name in two places are two data sets.
    """
    name = card.card_name
    if card.folder != cards_folder():
        name += f"-{hashlib.sha256(str(card.folder.resolve()).encode()).hexdigest()[:8]}"
    return data_dir() / "datasets" / name


def source_folder(card: Card, source: str) -> Path:
    """Return where a source's files lie: beside the card, or in emsym's folder."""
    if not card.sources or not card.sources[source].files:
        return card.folder
    return card_folder(card) / source


def _inside(name: str) -> str:
    if not is_inside(name):
        raise ValueError("leads out of the folder")
    return name


class VerifiedFile(BaseModel, frozen=True, extra="forbid"):
    """A file whose checksum is known, for as long as its size and its time do not change."""

    checksum: Checksum
    size: Annotated[int, Field(ge=0)]
    mtime_ns: int

    def is_unchanged(self, path: Path) -> bool:
        """Return whether the file is there and was not touched since."""
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
    """The files that were unpacked from it, by their names."""

    def is_complete(self, folder: Path, name: str) -> bool:
        """Return whether the file, and all that was unpacked from it, is there and untouched."""
        members = (member.is_unchanged(folder / path) for path, member in self.members.items())
        return self.is_unchanged(folder / name) and all(members)


class _Marker(BaseModel, frozen=True, extra="forbid"):
    files: dict[str, FetchedFile] = {}


def verified_file(path: Path, checksum: str) -> VerifiedFile:
    """Return a file as it is now."""
    now = path.stat()
    return VerifiedFile(checksum=checksum, size=now.st_size, mtime_ns=now.st_mtime_ns)


def read_marker(folder: Path) -> dict[str, FetchedFile]:
    """Return what was fetched into a folder, by name; nothing where the marker is no good."""
    try:
        return dict(_Marker.model_validate_json((folder / MARKER).read_bytes()).files)
    except (OSError, ValidationError):
        return {}


def write_marker(folder: Path, files: dict[str, FetchedFile]) -> None:
    """Remember what was fetched into a folder."""
    write_atomically(folder / MARKER, _Marker(files=files).model_dump_json(indent=1))


def file_checksum(path: Path, like: str = "sha256:") -> str:
    """Return the checksum of a file, of the same kind as another."""
    import pooch

    kind = like.partition(":")[0]
    return f"{kind}:{pooch.file_hash(path, kind)}"


def set_aside(file: Path, path: Path, checksum: str) -> Path:
    """Rename what should not be at a path; the new name."""
    aside = path.with_name(f"{path.name}.bad-{checksum.partition(':')[2][:8]}")
    return file.replace(aside)


@contextmanager
def folder_lock(card: Card, listener: DownloadListener | None = None) -> Iterator[None]:
    """Keep other processes out of a data set's folder."""
    from filelock import FileLock, Timeout

    folder = card_folder(card)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")  # the system frees it when its holder dies
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if listener is not None:
            listener.say(f"Another process is fetching '{card.card_name}': waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
