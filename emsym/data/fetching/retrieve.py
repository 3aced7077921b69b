"""One file of a source: downloaded or taken from a person's folder, verified and unpacked."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

from emsym.data.cards import RemoteFile
from emsym.data.fetching.archives import is_archive, unpack
from emsym.data.fetching.doi import resolve_address
from emsym.data.fetching.download import discard_part, download, link_or_copy
from emsym.data.fetching.download_listener import DownloadListener
from emsym.data.fetching.fetched_files import (
    FetchedFile,
    InvalidFileError,
    file_checksum,
    set_aside,
    verified_file,
)
from emsym.errors import UserError


def retrieve_file(
    name: str,
    place: str | Path,
    remote: RemoteFile,
    known: FetchedFile | None,
    folder: Path,
    taken: Collection[str],
    listener: DownloadListener,
    offline: bool,
) -> FetchedFile:
    """Bring one file into a folder, from an address or from a person's path.

    Its checksum must be the card's, else that of a DOI's record, else the one `known` from an
    earlier fetch. Members of an archive may not have the names `taken`. `offline`, no record is
    asked. Raises `UserError`.
    """
    place, published = _address_and_checksum(place, remote, listener, offline)
    expected = published or (known.checksum if known else None)
    path = folder / name
    if expected is None:
        path.unlink(missing_ok=True)  # nobody knows any more where it came from
    try:
        _retrieve_by_pooch(name, place, expected, folder, listener)
    except InvalidFileError as error:
        if published is not None:
            raise
        raise InvalidFileError(
            f"{error}, as it had first: delete {folder} to take what is new"
        ) from error
    checksum = expected or file_checksum(path)
    size = path.stat().st_size
    if published is None and remote.size and not 0.9 < size / remote.size < 1.1:
        aside = set_aside(path, path, checksum)
        raise InvalidFileError(
            f"{name} has {size} bytes, the card says about {remote.size} (kept as {aside})"
        )
    members = {}
    if is_archive(name):
        for member in known.members if known else ():
            (folder / member).unlink(missing_ok=True)  # the new archive may have no such member
        try:
            sums = unpack(path, folder, taken, remote.size)
        except InvalidFileError as error:
            if published is not None:
                raise
            raise InvalidFileError(
                f"{error} (kept as {set_aside(path, path, checksum)})"
            ) from error
        members = {member: verified_file(folder / member, sha) for member, sha in sums.items()}
    pinned = published is None and (known is None or known.pinned)
    return FetchedFile(**verified_file(path, checksum).model_dump(), pinned=pinned, members=members)


def _address_and_checksum(
    place: str | Path, remote: RemoteFile, listener: DownloadListener, offline: bool
) -> tuple[str | Path, str | None]:
    """Return where the file lies really, and its published checksum."""
    if place == remote.url:
        address, published = resolve_address(remote.url, listener)
        return address, remote.checksum or published
    published = remote.checksum
    if published is None and not offline:
        try:
            published = resolve_address(str(remote.url), listener)[1]
        except UserError as error:  # who has the file may have no network
            listener.say(f"The published checksum is not known: {error}.")
    return place, published


def _retrieve_by_pooch(
    name: str, place: str | Path, expected: str | None, folder: Path, listener: DownloadListener
) -> None:
    import pooch

    path, part = folder / name, folder / f"{name}.part"
    if isinstance(place, Path):
        downloader = partial(_copy_user_file, place)
    else:
        checked = expected is not None
        downloader = partial(download, name=name, part=part, checked=checked, listener=listener)
    pooch.get_logger().setLevel("WARNING")  # the listener is told, in emsym's words
    try:
        pooch.retrieve(str(place), expected, name, folder, downloader=downloader)
    except ValueError as error:  # pooch's for another checksum
        got = place if isinstance(place, Path) else part
        if expected is None or not got.is_file():
            raise
        actual = file_checksum(got, expected)
        kept = "" if got == place else f" (kept as {set_aside(part, path, actual)})"
        discard_part(part)
        raise InvalidFileError(
            f"{got if got == place else name} has the checksum {actual} instead of {expected}{kept}"
        ) from error
    discard_part(part)


def _copy_user_file(file: Path, _url: str, output_file: str, _pooch: object) -> None:
    link_or_copy(file, Path(output_file))
