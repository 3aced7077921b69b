"""Names → things that can be extended: from this package, installed ones and plug-in files."""

import difflib
import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from emsym.errors import UserError

T = TypeVar("T")
_PACKAGE = Path(__file__).parent
_REGISTRIES: "list[Registry]" = []


class PluginWarning(UserWarning):
    """An extension that could not be used, and why; everything else goes on."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered thing, the place it was registered at, and the first line of its docstring."""

    value: T
    file: Path
    line: int
    summary: str = ""

    @property
    def place(self) -> str:
        """``file:line``, for messages."""
        return f"{self.file}:{self.line}"

    @property
    def own(self) -> bool:
        """Whether it came with emsym rather than from a plug-in."""
        return _PACKAGE in self.file.parents


class Registry(Generic[T]):
    """A lazy, thread-safe mapping of names to things of one kind.

    Things get in by `add` (usually through a decorator built on it), called by emsym's own
    module beside the registry; by installed packages, through entry points of `group`, each
    imported when its name is asked for; and by plug-in files (`load_plugin`).

    A name taken twice is an error that shows both places; an unknown name gets the nearest right
    ones; an extension that cannot be imported is reported as a `PluginWarning` and skipped.

    `resolve` may make a thing for a name that follows a pattern, or return None.

    >>> fruit = Registry[str]("fruit")
    >>> fruit.add("apple", "red")
    >>> fruit.get("aple")
    Traceback (most recent call last):
    emsym.errors.UserError: There is no fruit 'aple'; did you mean 'apple'?
    """

    def __init__(
        self,
        kind: str,
        *,
        group: str | None = None,
        resolve: Callable[[str], T | None] | None = None,
    ) -> None:
        """`kind` is what a message calls the things, in the singular."""
        self.kind = kind
        self._group = group
        self._resolve = resolve
        self._entries: dict[str, Entry[T]] = {}
        self._entry_points: dict[str, importlib.metadata.EntryPoint] | None = None
        self._lock = threading.RLock()
        _REGISTRIES.append(self)

    def add(self, name: str, value: T, *, summary: str = "", depth: int = 1) -> None:
        """Register `value`; `depth` frames up is the place that a collision will name.

        Raises `UserError` when the name is taken.
        """
        frame = sys._getframe(depth)
        entry = Entry(value, Path(frame.f_code.co_filename), frame.f_lineno, summary)
        with self._lock:
            if name in self._entries:
                raise UserError(
                    f"The {self.kind} '{name}' is registered twice, at "
                    f"{self._entries[name].place} and at {entry.place}: rename one of them."
                )
            self._entries[name] = entry

    def get(self, name: str) -> T:
        """The thing of that name. Raises `UserError` with the nearest names when there is none."""
        return self.entry(name).value

    def entry(self, name: str) -> Entry[T]:
        """The registered thing with its place. Raises `UserError` as `get` does."""
        with self._lock:
            if name not in self._entries and name in self._found():
                self._load(name)
            if name in self._entries:
                return self._entries[name]
            if self._resolve is not None and (value := self._resolve(name)) is not None:
                return Entry(value, Path(__file__), 0)
            near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
            hint = (
                f"did you mean {' or '.join(repr(word) for word in near)}?"
                if near
                else f"`emsym-bench list {self.kind}s` shows them."
            )
            raise UserError(f"There is no {self.kind} '{name}'; {hint}")

    def names(self, pattern: str = "*") -> list[str]:
        """All names that match a shell pattern, in order; imports no entry point."""
        with self._lock:
            return fnmatch.filter(sorted({*self._entries, *self._found()}), pattern)

    def summary(self, name: str) -> str:
        """One line about it; for an entry point, without importing it, where it would come from."""
        with self._lock:
            if name in self._found() and name not in self._entries:
                return f"(from {self._found()[name].value})"
            return self.entry(name).summary

    def source_digest(self, name: str) -> str | None:
        """SHA-256 of the file an extension came from; None for what ships with emsym."""
        entry = self.entry(name)
        return None if entry.own else hashlib.sha256(entry.file.read_bytes()).hexdigest()

    def _forget(self, file: Path) -> None:
        """Take back what a file registered."""
        with self._lock:
            self._entries = {k: entry for k, entry in self._entries.items() if entry.file != file}

    def _found(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._entry_points is None:
            self._entry_points = {}
            points = importlib.metadata.entry_points(group=self._group) if self._group else ()
            for point in points:
                if (taken := self._entries.get(point.name)) is not None:
                    _skip(point.value, f"the {self.kind} '{point.name}' exists at {taken.place}")
                elif (other := self._entry_points.get(point.name)) is not None:
                    _skip(point.value, f"the {self.kind} '{point.name}' is also {other.value}")
                else:
                    self._entry_points[point.name] = point
        return self._entry_points

    def _load(self, name: str) -> None:
        """Import an entry point; its module registers the name through the decorator."""
        assert self._entry_points is not None
        point = self._entry_points[name]
        try:
            point.load()
            if name not in self._entries:
                raise ImportError(f"it does not register the {self.kind} '{name}'")
        except Exception as error:  # whatever a stranger's module raises
            del self._entry_points[name]
            _skip(point.value, f"{type(error).__name__}: {error}")


def load_plugin(path: Path) -> bool:
    """Run a plug-in file so that its decorators register; False, with a warning, where it fails.

    Nothing that a failing file had already registered stays. Loading a file again is harmless.
    """
    path = path.resolve()
    name = f"emsym_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return True
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError("a plug-in is a Python file whose name ends in .py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a stranger's file raises
        sys.modules.pop(name, None)
        for registry in _REGISTRIES:
            registry._forget(path)
        _skip(path, f"{type(error).__name__}: {error}")
        return False
    return True


def _skip(what: object, why: str) -> None:
    warnings.warn(f"The plug-in {what} is skipped: {why}", PluginWarning, stacklevel=3)
