"""Verifying fetched files: their bytes are read again and compared with their checksums."""

from contextlib import suppress
from pathlib import Path

from emsym.data.cards import Card
from emsym.data.fetching.availability import DataLocation, locate_data, needed_files, require_data
from emsym.data.fetching.fetched_files import (
    file_checksum,
    folder_lock,
    read_marker,
    set_aside,
    source_folder,
    verified_file,
    write_marker,
)
from emsym.errors import UserError


def verify_data(card: Card) -> list[tuple[str, str]]:
    """Read everything that was fetched for a card again: each file, and what is wrong or nothing.

    Of what was unpacked, only what is wrong is listed. What is wrong is fetched again the next
    time. Nothing is known of files that lie beside the card. Raises `UserError` where nothing was
    fetched.
    """
    begun = (name for name in card.sources if read_marker(source_folder(card, name)))
    located = locate_data(card)
    source_name = located.source if located else next(begun, None) or require_data(card).source
    if not card.sources or not card.sources[source_name].files:
        return []
    source, folder = card.sources[source_name], source_folder(card, source_name)
    files, problems_found, damaged = read_marker(folder), [], []
    for name in needed_files(card, source):
        if name not in files:
            problems_found.append((name, "was not fetched"))
            continue
        checksum = source.remote_file(name).checksum or files[name].checksum
        members = {path: member.checksum for path, member in files[name].members.items()}
        problems = {path: _checksum_fault(folder / path, sum_) for path, sum_ in members.items()}
        problems = {name: _checksum_fault(folder / name, checksum), **problems}
        problems_found += [
            (path, problem) for path, problem in problems.items() if problem or path == name
        ]
        damaged += [name] if any(problems.values()) else []
    if damaged:
        _mark_as_changed(card, folder, damaged)
    return problems_found


def discard_pinned_files(card: Card, located: DataLocation) -> bool:
    """Forget the files that nobody vouches for, when they turn out to be of no use.

    They are put aside, and the next fetch asks for them again. Returns whether there were any.
    """
    folder = located.folder
    with folder_lock(card):
        files = read_marker(folder)
        source = card.sources[located.source]
        pinned = [
            name
            for name in needed_files(card, source)
            if files[name].pinned and source.remote_file(name).checksum is None
        ]
        for name in pinned:
            set_aside(folder / name, folder / name, files.pop(name).checksum)
        write_marker(folder, files)
    return bool(pinned)


def revalidate(card: Card) -> None:
    """Look into files that were touched: those whose content is as it was are whole again.

    A copy of the folder may have lost the times of its files.
    """
    for name, source in card.sources.items():
        folder = source_folder(card, name)
        files = read_marker(folder) if source.files else {}
        renewed = {
            file: fetched.model_copy(
                update={
                    **verified_file(folder / file, fetched.checksum).model_dump(),
                    "members": {
                        path: verified_file(folder / path, member.checksum)
                        for path, member in fetched.members.items()
                    },
                }
            )
            for file, fetched in files.items()
            if not fetched.is_complete(folder, file)
            and not any(
                _checksum_fault(folder / path, known.checksum)
                for path, known in {file: fetched, **fetched.members}.items()
            )
        }
        if renewed:
            write_marker(folder, files | renewed)


def _checksum_fault(path: Path, checksum: str) -> str:
    """Return what is wrong with a file that should have a checksum, or nothing."""
    try:
        actual = file_checksum(path, checksum)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if actual == checksum else f"has the checksum {actual} instead of {checksum}"


def _mark_as_changed(card: Card, folder: Path, names: list[str]) -> None:
    """Let files count as changed; their checksums stay, as they may be pins."""
    with (
        suppress(OSError, UserError),
        folder_lock(card),
    ):  # a shared folder may not be ours to write
        files = read_marker(folder)
        old = {name: files[name].model_copy(update={"mtime_ns": 0}) for name in names}
        write_marker(folder, files | old)
