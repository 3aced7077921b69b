"""Fetching a card's files: from its sources in turn, or from a folder or mirror of one's own.

What is fetched lies in ``<data_dir>/datasets/<card>/<source>/``, verified and unpacked. A marker
beside it says what is finished, so that looking whether a data set is there reads no data.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from emsym.data.cards import Card, Source
from emsym.data.fetching.availability import (
    DataLocation,
    fetch_command,
    first_few,
    locate_data,
    missing_files,
    needed_files,
    require_data,
)
from emsym.data.fetching.download import DownloadListener
from emsym.data.fetching.fetched_files import (
    MARKER,
    FetchedFile,
    card_folder,
    check_space,
    read_marker,
    source_folder,
    verified_file,
    write_marker,
)
from emsym.data.fetching.retrieve import file_checksum, retrieve_file, set_aside
from emsym.errors import UserError
from emsym.paths import data_dir


def fetch(
    card: Card, watcher: DownloadListener, *, origin: str | None = None, offline: bool = False
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
        with suppress(OSError, UserError), _alone(card, watcher):  # a folder may be read-only
            revalidate(card)
        return require_data(card)
    try:
        with _alone(card, watcher):
            revalidate(card)
            return locate_data(card) or _fetch_from_sources(card, watcher, origin, offline)
    except OSError as error:
        raise UserError(f"'{card.name}' cannot be kept in {data_dir()}: {error}.") from error


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
    files, told, damaged = read_marker(folder), [], []
    for name in needed_files(card, source):
        if name not in files:
            told.append((name, "was not fetched"))
            continue
        checksum = source.remote_file(name).checksum or files[name].checksum
        members = {path: member.checksum for path, member in files[name].members.items()}
        problems = {path: checksum_fault(folder / path, sum_) for path, sum_ in members.items()}
        problems = {name: checksum_fault(folder / name, checksum), **problems}
        told += [(path, problem) for path, problem in problems.items() if problem or path == name]
        damaged += [name] if any(problems.values()) else []
    if damaged:
        _mark_as_changed(card, folder, damaged)
    return told


def discard_pinned_files(card: Card, located: DataLocation) -> bool:
    """Forget the files that nobody vouches for, when they turn out to be of no use.

    They are put aside, and the next fetch asks for them again. Returns whether there were any.
    """
    folder = located.folder
    with _alone(card):
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
                checksum_fault(folder / path, known.checksum)
                for path, known in {file: fetched, **fetched.members}.items()
            )
        }
        if renewed:
            write_marker(folder, files | renewed)


def checksum_fault(path: Path, checksum: str) -> str:
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
    with suppress(OSError, UserError), _alone(card):  # a shared folder may not be ours to write
        files = read_marker(folder)
        old = {name: files[name].model_copy(update={"mtime_ns": 0}) for name in names}
        write_marker(folder, files | old)


@contextmanager
def _alone(card: Card, watcher: DownloadListener | None = None) -> Iterator[None]:
    """Keep other processes out of a data set's folder."""
    from filelock import FileLock, Timeout

    folder = card_folder(card)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")  # the system frees it when its holder dies
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if watcher is not None:
            watcher.say(f"Another process is fetching '{card.card_name}': waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_from_sources(
    card: Card, watcher: DownloadListener, origin: str | None, offline: bool
) -> DataLocation:
    if origin is not None and not _is_address(origin):
        check_user_folder(card, Path(origin))
    reasons: list[str] = []
    remote = {name: source for name, source in card.sources.items() if source.files}
    for name, source in remote.items():
        try:
            _fetch_source(card, name, _file_origins(card, source, origin), watcher, offline)
        except UserError as error:
            reason = str(error).rstrip(".")
            reasons.append(f"from '{name}': {reason}")
            if len(reasons) < len(remote):
                watcher.say(f"'{card.name}' cannot be had from '{name}': {reason}.")
        else:
            return require_data(card)
    advice = f"; with `{fetch_command(card)} --from DIR` it takes files that you have"
    raise UserError(
        f"The data set '{card.name}' could not be fetched, {'; '.join(reasons)}"
        f"{advice if origin is None else ''}."
    )


def _is_address(origin: str) -> bool:
    return origin.startswith(("http://", "https://"))


def check_user_folder(card: Card, folder: Path) -> None:
    """Raise `UserError`, telling what is lacking, where no source's files are all in a folder."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    own = {name: user_files(card, source, folder) for name, source in card.sources.items()}
    lacking = {
        name: [f for f, path in files.items() if path is None] for name, files in own.items()
    }
    # the closest has all, or else the most
    name = min(own, key=lambda name: (bool(lacking[name]), len(lacking[name]) - len(own[name])))
    if lacking[name]:
        raise UserError(
            f"{folder} does not hold all files of '{card.name}': of the source '{name}', "
            f"{first_few(lacking[name])} would be needed."
        )


def user_files(card: Card, source: Source, folder: Path) -> dict[str, Path | None]:
    """The path of each needed file in a person's folder, by its name, or by the last part of it
    where that is the only one."""
    names = needed_files(card, source)
    lasts = [PurePosixPath(name).name for name in names]

    def find(name: str, last: str) -> Path | None:
        paths = [folder / name, *([folder / last] if lasts.count(last) == 1 else [])]
        return next((path for path in paths if path.is_file()), None)

    return {name: find(name, last) for name, last in zip(names, lasts, strict=True)}


def _file_origins(card: Card, source: Source, origin: str | None) -> dict[str, str | Path]:
    """The address of each needed file, or the path of a person's own."""
    if origin is None:
        return {name: str(source.remote_file(name).url) for name in needed_files(card, source)}
    if _is_address(origin):
        return {name: f"{origin.rstrip('/')}/{quote(name)}" for name in needed_files(card, source)}
    own = user_files(card, source, Path(origin))
    if lacking := [name for name, path in own.items() if path is None]:
        raise UserError(f"{origin} has no {first_few(lacking)}")
    return {name: path for name, path in own.items() if path is not None}


def _fetch_source(
    card: Card,
    source_name: str,
    places: dict[str, str | Path],
    watcher: DownloadListener,
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
            name, places[name], source.remote_file(name), known, folder, taken, watcher, offline
        )
        write_marker(folder, files)
        if files[name].pinned and known is None:
            pins.append(name)
    if pins:
        watcher.say(
            f"Nobody published a checksum of {first_few(pins)}: what came first is remembered in "
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
