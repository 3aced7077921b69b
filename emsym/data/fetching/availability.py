"""Where a card's data is on this machine, and what is missing. Reads no data and no network."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from emsym.data.cards import Card, Files, Source
from emsym.data.fetching.archives import is_archive
from emsym.data.fetching.fetched_files import FetchedFile, read_marker, source_folder
from emsym.errors import UserError, first_three
from emsym.paths import cards_folder


@dataclass(frozen=True)
class DataLocation:
    """Where a card's data is on this machine."""

    source: str
    folder: Path
    sums: dict[str, str]
    """The checksums of the files that the card needs; none for those that lie beside the card."""


def needed_files(card: Card, source: Source) -> list[str]:
    """Return the files that the card's tasks need: all archives, and those that its paths name."""
    patterns = [
        PurePosixPath(path).parts for files in needed_arrays(card, source) for path in files.paths
    ]

    def is_named(name: str) -> bool:
        parts = PurePosixPath(name).parts  # may be longer: an array can be a folder
        return any(
            len(pattern) <= len(parts) and all(map(fnmatchcase, parts, pattern))
            for pattern in patterns
        )

    return [name for name in source.files if is_archive(name) or is_named(name)]


def needed_arrays(card: Card, source: Source) -> list[Files]:
    """Return the image and the label layers that the card's tasks need."""
    return [source.image, *(source.labels[layer] for layer in card.layers())]


def locate_data(card: Card) -> DataLocation | None:
    """Return the first source that lies beside the card or is complete on this machine."""
    if not card.sources:
        return DataLocation("phantom", card.folder, {})
    for name, source in card.sources.items():
        folder = source_folder(card, name)
        files = read_marker(folder) if source.files else {}
        if not missing_files(card, source, folder, files):
            sums = {needs: files[needs].checksum for needs in needed_files(card, source)}
            return DataLocation(name, folder, sums)
    return None


def missing_files(
    card: Card, source: Source, folder: Path, files: dict[str, FetchedFile]
) -> list[str]:
    """Return the needed files of a source that are not there whole, or are not those of the card.

    `files` is what the folder's marker tells. Of a source that lies beside its card, the paths that
    lead to nothing.
    """
    if not source.files:
        from emsym.data.reading.readers import find_files

        paths = (path for array in needed_arrays(card, source) for path in array.paths)
        return [path for path in dict.fromkeys(paths) if not find_files(folder, path)]
    return [
        name
        for name in needed_files(card, source)
        if name not in files
        or source.remote_file(name).checksum not in (None, files[name].checksum)
        or not files[name].is_complete(folder, name)
    ]


def require_data(card: Card) -> DataLocation:
    """Return where the data is. Raises `UserError` that tells what is missing and how it is got."""
    if located := locate_data(card):
        return located
    name, source = next(iter(card.sources.items()))
    folder = source_folder(card, name)
    names = missing_files(card, source, folder, read_marker(folder))
    if not any(source.files for source in card.sources.values()):
        raise UserError(
            f"There is no file at {folder / names[0]}: correct 'path' in the card of '{card.name}'."
        )
    raise UserError(
        f"The data set '{card.name}' is not on this machine, {first_three(names)} "
        f"{'is' if len(names) == 1 else 'are'} missing{_total_size(source, names)}: "
        f"`{fetch_command(card)}` downloads it, and with `--from DIR` it takes files that you have."
    )


def _total_size(source: Source, names: list[str]) -> str:
    from rich.filesize import decimal

    sizes = [source.remote_file(name).size or 0 for name in names]
    return f" ({'' if all(sizes) else 'over '}{decimal(sum(sizes))})" if any(sizes) else ""


def fetch_command(card: Card) -> str:
    """Return the command that fetches a card."""
    name = card.name
    if card.folder != cards_folder():  # found by its path only
        name = f"{card.folder / card.card_name}.toml{name.removeprefix(card.card_name)}"
    return f"emsym-bench data fetch {name}"
