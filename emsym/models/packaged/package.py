"""A network's package: the file in it that is read, and what its description says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, error_with_type
from emsym.models.pretrained.weights_index import weights_files

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGEST_TEXT = 1 << 20
"""Bytes of a description, at most."""


@dataclass(frozen=True)
class DescribedOption:
    """Options of an audit that a package describes, as fields of its inputs with their values.

    They count where the user gives none of them. `required` ones have no values: the user must
    give them, and `sentence` says why; of others it is a note, if it is not empty.
    """

    values: Mapping[str, Any]
    sentence: str = ""
    required: bool = False


@dataclass(frozen=True)
class Package:
    """The facts that a folder, an archive or a described file tells of a network."""

    file: Path
    """The file that is read: weights, or a whole network."""
    name: str = ""
    """The name of the network in messages."""
    factory: Callable[[], nn.Module] | None = None
    """Builds it without its weights, under the names that those have in the file."""
    load: Callable[[Mapping[str, Tensor]], nn.Module] | None = None
    """Builds it with the weights of the file, where their names are others. Neither is there for a
    whole network, and where the user says how the network is built."""
    slices: int | None = None
    """How many slices it reads, where the description tells."""
    notes: tuple[str, ...] = ()
    """Assumptions, a sentence each."""
    options: tuple[DescribedOption, ...] = field(default=())


def read_description(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, an object. Raises `UserError` for anything else."""
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise UserError(f"{path} is larger than any description of a network.")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error_with_type(error)}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} describes no network: it holds no JSON object.")
    return content


def check_size(build: Callable[[], nn.Module], weights: Path, description: Path) -> None:
    """Raise `UserError` where a description asks for more parameters than a file of weights has.

    Each takes one byte of it or more; no memory is taken before that is known.
    """
    import torch

    try:
        with torch.device("meta"):
            size = sum(weight.numel() for weight in build().parameters())
    except Exception:  # it wants values while it is built, or cannot be built at all
        return
    if size > sum(file.stat().st_size for file in weights_files(weights)):
        raise UserError(
            f"{description} describes a network of {size:,} parameters, more than {weights} "
            "holds: do not trust it."
        )


def cannot_be_built(description: Path, error: Exception) -> UserError:
    """Return the error that tells what a library says against a description."""
    return UserError(
        f"The network of {description} cannot be built ({error_with_type(error)}): give the "
        "weights with --model FILE.py:NAME, a function of yours that returns it."
    )
