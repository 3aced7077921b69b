"""Fetching a card's files: from its sources in turn, or from a folder or mirror of one's own.

What is fetched lies in ``<data_dir>/datasets/<card>/<source>/``, verified and unpacked. A marker
beside it says what is finished, so that looking whether a data set is there reads no data.
"""

from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from emsym.data.cards import Card, Source
from emsym.data.fetching.availability import (
    DataLocation,
    fetch_command,
    locate_data,
    missing_files,
    needed_files,
    require_data,
)
from emsym.data.fetching.disk_space import check_space
from emsym.data.fetching.download_listener import DownloadListener
from emsym.data.fetching.fetched_files import (
    MARKER,
    FetchedFile,
    folder_lock,
    read_marker,
    source_folder,
    write_marker,
)
from emsym.data.fetching.retrieve import retrieve_file
from emsym.data.fetching.user_folder import check_user_folder, user_files
from emsym.data.fetching.verify import revalidate
from emsym.errors import UserError, first_three
from emsym.paths import data_dir


def fetch(
    card: Card, listener: DownloadListener, *, origin: str | None = None, offline: bool = False
) -> DataLocation:
    """Bring a card's data to this machine, unless it is there.

    Its sources are tried in turn. `origin` is a folder, or the address of one, that has the files
    of one of them, by their names. Files that are there already are kept, a part of one is
    continued, and nothing is used before its checksum is right. Of several processes that fetch
    the same data set, one does. `offline`, no network is touched. Raises `UserError`, which tells
    what is missing.
    """
    if located := locate_data(card):
        return located
    if not any(source.files for source in card.sources.values()):
        return require_data(card)
    if offline and (origin is None or _is_address(origin)):
        with suppress(OSError, UserError), folder_lock(card, listener):  # a folder may be read-only
            revalidate(card)
        return require_data(card)
    try:
        with folder_lock(card, listener):
            revalidate(card)
            return locate_data(card) or _fetch_from_sources(card, listener, origin, offline)
    except OSError as error:
        raise UserError(f"'{card.name}' cannot be kept in {data_dir()}: {error}.") from error


def _fetch_from_sources(
    card: Card, listener: DownloadListener, origin: str | None, offline: bool
) -> DataLocation:
    if origin is not None and not _is_address(origin):
        check_user_folder(card, Path(origin))
    reasons: list[str] = []
    remote = {name: source for name, source in card.sources.items() if source.files}
    for name, source in remote.items():
        try:
            _fetch_source(card, name, _file_origins(card, source, origin), listener, offline)
        except UserError as error:
            reason = str(error).rstrip(".")
            reasons.append(f"from '{name}': {reason}")
            if len(reasons) < len(remote):
                listener.say(f"'{card.name}' cannot be had from '{name}': {reason}.")
        else:
            return require_data(card)
    advice = f"; with `{fetch_command(card)} --from DIR` it takes files that you have"
    raise UserError(
        f"The data set '{card.name}' could not be fetched, {'; '.join(reasons)}"
        f"{advice if origin is None else ''}."
    )


def _is_address(origin: str) -> bool:
    return origin.startswith(("http://", "https://"))


def _file_origins(card: Card, source: Source, origin: str | None) -> dict[str, str | Path]:
    """Return the address of each needed file, or the path of a person's own."""
    if origin is None:
        return {name: str(source.remote_file(name).url) for name in needed_files(card, source)}
    if _is_address(origin):
        return {name: f"{origin.rstrip('/')}/{quote(name)}" for name in needed_files(card, source)}
    own = user_files(card, source, Path(origin))
    if lacking := [name for name, path in own.items() if path is None]:
        raise UserError(f"{origin} has no {first_three(lacking)}")
    return {name: path for name, path in own.items() if path is not None}


def _fetch_source(
    card: Card,
    source_name: str,
    places: dict[str, str | Path],
    listener: DownloadListener,
    offline: bool,
) -> None:
    source, folder = card.sources[source_name], source_folder(card, source_name)
    folder.mkdir(parents=True, exist_ok=True)
    files = read_marker(folder)
    _delete_leftovers(folder, source, files)
    names = missing_files(card, source, folder, files)
    _check_room(folder, {name: source.remote_file(name).size for name in names}, places)
    pins = []
    for name in names:
        known = files.get(name)
        others = {member for file in files if file != name for member in files[file].members}
        taken = {MARKER, *source.files, *others}
        files[name] = retrieve_file(
            name, places[name], source.remote_file(name), known, folder, taken, listener, offline
        )
        write_marker(folder, files)
        if files[name].pinned and known is None:
            pins.append(name)
    if pins:
        listener.say(
            f"Nobody published a checksum of {first_three(pins)}: what came first is remembered in "
            f"{folder / MARKER} and compared with later fetches, and can be written into the card."
        )


def _delete_leftovers(folder: Path, source: Source, files: dict[str, FetchedFile]) -> None:
    """Delete what pooch had begun in processes that were killed."""
    members = {folder / member for fetched in files.values() for member in fetched.members}
    for path in folder.rglob("tmp????????"):
        own = path in members or path.relative_to(folder).as_posix() in source.files
        if path.is_file() and not own:
            path.unlink()


def _check_room(folder: Path, sizes: dict[str, int | None], places: dict[str, str | Path]) -> None:
    """Raise `UserError` where the disk is too small for what is to be downloaded, if known."""
    parts = [folder / f"{name}.part" for name in sizes if isinstance(places[name], str)]
    if parts:
        have = sum(part.stat().st_size for part in parts if part.exists())
        check_space(folder, sum(filter(None, sizes.values())) - have)
