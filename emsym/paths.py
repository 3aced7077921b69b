"""The folders of emsym: its cards, its protocols, and what it keeps on this machine."""

import os
from difflib import get_close_matches
from pathlib import Path

from emsym.errors import UserError

_PACKAGE = Path(__file__).parent


def cards_folder() -> Path:
    """Return the dataset cards' folder: in the package, or ``datasets/`` of a checkout."""
    return _first_existing(_PACKAGE / "_datasets", _PACKAGE.parent / "datasets")


def protocols_folder() -> Path:
    """Return the protocols' folder: in the package, or ``benchmark/protocols/`` of a checkout."""
    return _first_existing(_PACKAGE / "_protocols", _PACKAGE.parent / "benchmark" / "protocols")


def claims_file() -> Path:
    """Return the file of claims: in the package, or ``benchmark/claims.toml`` of a checkout."""
    shipped = _PACKAGE / "_claims.toml"
    return shipped if shipped.is_file() else _PACKAGE.parent / "benchmark" / "claims.toml"


def _first_existing(*folders: Path) -> Path:
    return next((folder for folder in folders if folder.is_dir()), folders[-1])


def find_toml(kind: str, name_or_path: str, shipped: Path, folder: Path = Path()) -> Path:
    """Return the file of a name that ships with emsym in `shipped`, or a path relative to `folder`.

    Raises `UserError`, with the nearest name, where the name is unknown.
    """
    if name_or_path.endswith(".toml"):
        return folder / name_or_path
    known = sorted(path.stem for path in shipped.glob("*.toml"))
    if name_or_path not in known:
        near = get_close_matches(name_or_path, known, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"`emsym-bench list {kind}s` shows them."
        raise UserError(f"There is no {kind} '{name_or_path}'; {hint}")
    return shipped / f"{name_or_path}.toml"


def data_dir() -> Path:
    """Return where what emsym fetches or makes once per machine is kept: ``EMSYM_DATA_DIR``, or the
    user's cache. Raises `UserError` where the user has neither."""
    if folder := os.environ.get("EMSYM_DATA_DIR"):
        return Path(folder).expanduser()
    import pooch  # takes a tenth of a second

    try:
        return Path(pooch.os_cache("emsym"))
    except RuntimeError as error:  # of a user without account or home, as in a container
        raise UserError(
            "This user has no home folder to keep data in: set EMSYM_DATA_DIR to a folder."
        ) from error
