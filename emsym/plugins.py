"""Plug-in files: Python files of a user whose decorators register things."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from emsym.errors import UserError, error_with_type, first_line, first_names
from emsym.registry import REGISTRIES, attempt, warn_of_plugin

_PLUGINS: dict[str, bytes] = {}
"""The contents of the plug-in files that are loaded, by the names of their modules."""


def load_plugin(path: Path) -> bool:
    """Run a plug-in file so that its decorators register; False, with a warning, where it fails.

    Nothing that a failing file had already registered stays. Loading a file again is harmless; if
    it was edited since, what it registers now takes the place of what it had registered.
    """
    path = path.resolve()
    name = f"emsym_plugin_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"

    def load() -> None:
        if path.suffix != ".py":
            raise UserError("a plug-in is a Python file whose name ends in .py.")
        source = path.read_bytes()
        if _PLUGINS.get(name) == source:
            return
        _unload(name)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        before = _count()
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            # not through the spec's loader: its bytecode may be of before an edit in this second
            exec(compile(source, path, "exec", dont_inherit=True), vars(module))
        except BaseException:
            _unload(name)
            raise
        _PLUGINS[name] = source
        if _count() == before:  # it may still serve: timm, say, has registries of its own
            warn_of_plugin(
                f"The plug-in {path} registers nothing: a strategy needs @register_init."
            )

    return attempt(path, load)


def require_plugins(paths: Iterable[Path]) -> None:
    """Load plug-in files that a user named.

    Raises `UserError` where one fails, once the warnings of all have said why.
    """
    if broken := [path for path in paths if not load_plugin(path)]:
        raise UserError(
            f"{first_names(broken)} could not be loaded, so that nothing was done: correct it, or "
            "leave out --plugin."
        )


def load_factory(place: str) -> Callable[[], Any]:
    """Return the function NAME of ``FILE.py:NAME``; the file is run.

    Raises `UserError` where there is no such file or function, or where the file fails.
    """
    file, _, name = place.rpartition(":")
    path = Path(file)
    if not file or path.suffix != ".py" or not path.is_file():
        raise UserError(f"'{place}' is no FILE.py:NAME of a file that is there: check the path.")
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise UserError(
            f"{path} ends the program when it is loaded ({error_with_type(error)}): put what it "
            'does as a script under `if __name__ == "__main__":`.'
        ) from error
    except Exception as error:  # whatever a stranger's code raises
        raise UserError(f"{path} fails ({type(error).__name__}: {first_line(error)}).") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"{path} defines no function '{name}'.")
    return function


def _unload(plugin: str) -> None:
    sys.modules.pop(plugin, None)
    _PLUGINS.pop(plugin, None)
    for registry in REGISTRIES:
        with registry._lock:
            kept = {k: entry for k, entry in registry._entries.items() if entry.module != plugin}
            registry._entries = kept


def _count() -> int:
    """How many things are registered that did not come with emsym."""
    return sum(not entry.own for every in REGISTRIES for entry in list(every._entries.values()))
