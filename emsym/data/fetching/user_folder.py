"""A folder of files that a person has: which of them belong to a card."""

from pathlib import Path, PurePosixPath

from emsym.data.cards import Card, Source
from emsym.data.fetching.availability import needed_files
from emsym.errors import UserError, first_three


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
            f"{first_three(lacking[name])} would be needed."
        )


def user_files(card: Card, source: Source, folder: Path) -> dict[str, Path | None]:
    """Return the path of each needed file in a person's folder, None for one that is not there.

    It is found by its name, or by the name's last part where no other file shares that.
    """
    names = needed_files(card, source)
    lasts = [PurePosixPath(name).name for name in names]

    def find(name: str, last: str) -> Path | None:
        paths = [folder / name, *([folder / last] if lasts.count(last) == 1 else [])]
        return next((path for path in paths if path.is_file()), None)

    return {name: find(name, last) for name, last in zip(names, lasts, strict=True)}
