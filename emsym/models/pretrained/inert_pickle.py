"""Files of `torch.save` that hold objects beside tensors: the tensors alone are read.

PyTorch's reader of weights refuses a file for one object of a class that it does not know, such as
the NumPy number of a best score. Here each such object becomes an `Inert` stand-in: nothing of its
class or its module is imported, and nothing that the file says is called.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_PICKLES = 4
"""How many pickles a file of PyTorch before 1.6 begins with: two numbers, the system, the content.
"""


class Inert(list):
    """The stand-in for an object of a class that is not known; it keeps what it was given."""

    state: object = None

    def __new__(cls, *_: object) -> Inert:
        """Take whatever arguments the file has."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        """Forget them."""
        super().__init__()

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        raise pickle.PicklingError("a stand-in cannot be written")


class _InertDict:
    """The stand-in for a class of dictionaries: its objects become plain ordered ones."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


def load_with_inert(path: Path, mmap: bool) -> Any:
    """Read a file of `torch.save` whose objects of unknown classes become `Inert`.

    `mmap` maps the tensors of a file since PyTorch 1.6 into memory. Raises what `torch.load` does;
    that is `pickle.UnpicklingError` for functions of ``os`` and ``sys``, too.
    """
    import torch

    names = set(_names(path))
    dictionaries: set[str] = set()
    while True:
        stand_ins: list[Any] = [(_stand_in(name, name in dictionaries), name) for name in names]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
                warnings.simplefilter("ignore")  # of a pickle that is refused anyway
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        except pickle.UnpicklingError as error:
            # which stand-ins are filled like dictionaries shows only when they are
            filled = re.search(r"SETITEM.*got <class '([^']+)'>", str(error), re.DOTALL)
            if filled is None or filled[1] not in names - dictionaries:
                raise
            dictionaries.add(filled[1])


def module_state(pickled: object, before: str = "") -> dict[str, Tensor]:
    """Return the state dict of a pickled module, by its names; empty for anything else.

    Parameters and persistent buffers are taken, as `torch.nn.Module.state_dict` does.
    """
    import torch

    state = getattr(pickled, "state", None)
    if not isinstance(pickled, Inert) or not isinstance(state, dict):
        return {}
    left_out = state.get("_non_persistent_buffers_set") or ()
    own = {**_table(state, "_parameters"), **_table(state, "_buffers")}
    tensors = {
        before + name: value.detach()
        for name, value in own.items()
        if isinstance(value, torch.Tensor) and name not in left_out
    }
    for name, module in _table(state, "_modules").items():
        tensors |= module_state(module, f"{before}{name}.")
    return tensors


def _table(state: dict, key: str) -> dict[str, Any]:
    table = state.get(key)
    return table if isinstance(table, dict) else {}


def _stand_in(name: str, is_dictionary: bool) -> type:
    module, _, own = name.rpartition(".")
    kind: type = _InertDict if is_dictionary else Inert
    return type(own, (kind,), {"__module__": module, "__qualname__": own})


def _names(path: Path) -> Iterator[str]:
    """Yield the classes and functions that a file names; none where its pickles are damaged."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                for _ in range(_PICKLES):
                    yield from _names_in(file)
            return
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith("/data.pkl"):
                    with archive.open(member) as pickled:
                        yield from _names_in(pickled)
    except (ValueError, OSError, zipfile.BadZipFile, RecursionError):
        return  # torch.load says what is wrong with it


def _names_in(file: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            # Python 3 writes some modules under the names that Python 2 had, as __builtin__
            module, name = NAME_MAPPING.get((module, name), (module, name))
            yield f"{IMPORT_MAPPING.get(module, module)}.{name}"
