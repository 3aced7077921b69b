"""Weights in several files beside an index of their names, as Transformers writes large ones."""

from __future__ import annotations

import json
from pathlib import Path

from emsym.errors import UserError, error_with_type, first_names

INDEX = ".index.json"
_LARGEST = 1 << 24
_MOST_FILES = 1000


def is_index(path: Path) -> bool:
    """Return whether a path is that of an index, by its name."""
    return path.name.endswith(INDEX)


def weights_files(path: Path) -> list[Path]:
    """Return the files that hold the weights of a path: those of an index, or the file itself.

    Raises as `indexed_files` does.
    """
    return list(dict.fromkeys(indexed_files(path).values())) if is_index(path) else [path]


def indexed_files(index: Path) -> dict[str, Path]:
    """Return the file of each tensor that an index names; all of them lie beside it.

    Raises `UserError` for an index that is none, and for a file that lies elsewhere or is missing.
    """
    try:
        if index.stat().st_size > _LARGEST:
            raise UserError(f"{index} is larger than any index of weights.")
        content = json.loads(index.read_bytes())
    except OSError as error:
        raise UserError(
            f"{index} cannot be opened ({error.strerror}): check the path and its permissions."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{index} is no JSON ({error_with_type(error)}).") from error
    table = content.get("weight_map") if isinstance(content, dict) else None
    if (
        not isinstance(table, dict)
        or not table
        or not all(isinstance(name, str) for name in table.values())
    ):
        raise UserError(f"{index} is no index of weights: it has no 'weight_map' of their files.")
    names = set(table.values())
    if len(names) > _MOST_FILES:
        raise UserError(f"{index} names {len(names):,} files, more than any network has.")
    files = {name: _file_beside(index, name) for name in sorted(names)}
    return {tensor: files[name] for tensor, name in table.items()}


def _file_beside(index: Path, name: str) -> Path:
    file, folder = index.parent / name, index.parent.resolve()
    if Path(name).name != name or name in (".", "..") or file.resolve().parent != folder:
        raise UserError(
            f"{index} names the file {first_names([name])}, which leads out of its folder: put "
            "copies of its files beside it."
        )
    if not file.is_file() or is_index(file):
        raise UserError(f"{index} names the file {first_names([name])}, which is not beside it.")
    return file
