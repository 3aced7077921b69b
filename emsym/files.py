"""Reading TOML files that people wrote into models, and writing files whole or not at all."""

import errno
import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from emsym.errors import UserError

LARGEST_TOML = 10_000_000
"""The most bytes of a TOML file that is read."""

Model = TypeVar("Model", bound=pydantic.BaseModel)


def read_toml(path: Path, model: type[Model], **extra: Any) -> Model:
    """Read a TOML file into a pydantic model; `extra` are fields that the file does not hold.

    Raises `UserError`, naming the file, the key and what was expected.
    """
    try:
        # a device has no end, and what people write by hand is no larger
        if path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST_TOML):
            raise UserError(
                f"{path} is no file of text that people write: it is no plain file, or larger than "
                f"{LARGEST_TOML // 10**6} MB."
            )
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except RecursionError as error:
        raise UserError(f"{path} is not valid TOML: it is nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid TOML: it is no text in UTF-8.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    try:
        return model.model_validate({**content, **extra})
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {validation_message(error)}.") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never seen half-written. Raises `UserError` where it cannot be."""
    with atomic_replacement(path) as partial, partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """Yield a temporary file that takes the place of `path` once it is written, or is gone.

    Raises `UserError` where it cannot be written.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = Path(file.name)
        yield partial
        partial.chmod(0o644)  # temporary files are private, results are to be read
        partial.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full at {path.parent}: free some space and run the same command "
                "again; whatever is finished is kept."
            ) from error
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


_PLAIN = {
    "tuple_type": "should be a list, […]",
    "model_type": "should be a table, {…}",
    "dict_type": "should be a table, {…}",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "string_type": "should be text",
    "string_pattern_mismatch": "holds letters or signs that it may not",
}


def _is_schema_word(part: int | str) -> bool:
    """Return whether part of a mistake's place is pydantic's word for a type, not a key."""
    return part in ("str", "int", "bool", "[key]") or (
        isinstance(part, str) and part.startswith(("tuple[", "function-"))
    )


def validation_message(error: pydantic.ValidationError) -> str:
    """Return the first mistakes of a validation error as half a sentence."""
    faults, keys = [], set()
    for mistake in error.errors():
        key = ".".join(str(part) for part in mistake["loc"] if not _is_schema_word(part))
        if key in keys:  # one value, that is none of several types
            continue
        keys.add(key)
        if len(keys) > 3:
            continue
        if mistake["type"] == "extra_forbidden":
            faults.append(f"unknown key '{key}'")
        elif mistake["type"] == "missing":
            faults.append(f"the key '{key}' is missing")
        else:
            fault = _PLAIN.get(mistake["type"]) or mistake["msg"].removeprefix("Value error, ")
            if mistake["type"] == "too_short":
                least = mistake["ctx"]["min_length"]
                fault = f"needs at least {least} {'entry' if least == 1 else 'entries'}"
            fault = "it is nested too deeply" if "recursion limit" in fault else fault
            faults.append(f"'{key}': {fault}" if key else fault)
    more = len(keys) - len(faults)
    return "; ".join(faults) + (f" (and {more} more)" if more > 0 else "")
