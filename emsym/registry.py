"""Registries: names → things that can be extended, from this package and from installed ones."""

import difflib
import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from emsym.errors import UserError

T = TypeVar("T")
REGISTRIES: "list[Registry]" = []
"""Every registry there is."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class PluginWarning(UserWarning):
    """An extension that could not be used, and why; everything else goes on."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered thing, the place it was registered at, and the first line of its docstring."""

    value: T
    file: Path
    line: int
    module: str
    """The name of the module that registered it."""
    summary: str = ""

    @property
    def place(self) -> str:
        """``file:line``, for messages."""
        return f"{self.file}:{self.line}"

    @property
    def own(self) -> bool:
        """Whether it came with emsym rather than from a plug-in."""
        return self.module.partition(".")[0] == __name__.partition(".")[0]

    @property
    def source(self) -> Path:
        """The folder of the topmost package that the file belongs to, or the file where none."""
        # no further up than the module's name reaches: a stray __init__.py above makes no package
        depth = self.module.count(".") + (self.file.name == "__init__.py")
        folders = reversed(self.file.parents[:depth])
        return next((up for up in folders if (up / "__init__.py").is_file()), self.file)


class Registry(Generic[T]):
    """A lazy, thread-safe mapping of names to things of one kind.

    Things get in by `add` (usually through a decorator built on it), called by emsym's own
    module beside the registry; by installed packages, through entry points of `group`, each
    imported when its name is asked for; and by plug-in files (`emsym.plugins.load_plugin`).

    A name taken twice is an error that shows both places; an unknown name gets the nearest right
    ones, and the way to give one of one's own where none was; an extension that cannot be imported
    is reported as a `PluginWarning` and skipped.

    `resolve` is a function that may make a thing for a name that follows a pattern, or return None.

    >>> fruit = Registry[str]("fruit")
    >>> fruit.add("apple", "red")
    >>> fruit.get("aple")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    emsym.errors.UserError: There is no fruit 'aple'; did you mean 'apple'? One of your own ...
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
        REGISTRIES.append(self)

    def add(self, name: str, value: T, *, summary: str = "", depth: int = 1) -> None:
        """Register `value`; `depth` frames up is the place that a collision will name.

        Raises `UserError` when the name is taken, or cannot be one.
        """
        frame = sys._getframe(depth)
        module = frame.f_globals.get("__name__") or ""
        entry = Entry(value, Path(frame.f_code.co_filename), frame.f_lineno, module, summary)
        if wrong := self._wrong(name):
            raise UserError(f"{wrong}: rename it at {entry.place}.")
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
        """The registered thing with its place; that of `resolve` where it made the thing.

        Raises `UserError` as `get` does.
        """
        with self._lock:
            point = None if name in self._entries else self._found().get(name)
        if point is not None:
            self._load(name, point)
        with self._lock:
            if name in self._entries:
                return self._entries[name]
        if self._resolve is not None and (value := self._resolve(name)) is not None:
            code = inspect.unwrap(self._resolve).__code__
            file, line = Path(code.co_filename), code.co_firstlineno
            return Entry(value, file, line, self._resolve.__module__)
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(repr(word) for word in near)}?"
            if near
            else f"`emsym-bench list {self.kind}s` shows them."
        )
        if all(entry.own for entry in self.registered().values()):  # --plugin is forgotten
            hint += " One of your own is given with --plugin FILE."
        raise UserError(f"There is no {self.kind} '{name}'; {hint}")

    def registered(self) -> dict[str, Entry[T]]:
        """The things that are registered by now; no entry point is imported."""
        with self._lock:
            return dict(self._entries)

    def names(self, pattern: str = "*") -> list[str]:
        """All names that match a shell pattern, in order; imports no entry point."""
        with self._lock:
            return fnmatch.filter(sorted({*self._entries, *self._found()}), pattern)

    def own_names(self) -> list[str]:
        """The names of what came with emsym, in the order in which it was registered."""
        with self._lock:
            return [name for name, entry in self._entries.items() if entry.own]

    def summary(self, name: str) -> str:
        """One line about it; for an entry point, without importing it, where it would come from."""
        with self._lock:
            if name in self._found() and name not in self._entries:
                return f"(from {self._found()[name].value})"
            return self.entry(name).summary

    def source_digest(self, name: str) -> str | None:
        """SHA-256 of the source an extension came from; None for what ships with emsym.

        Of a module in a package it covers every .py file of the topmost package, with their names
        relative to it, so that it tells a change in a helper but not where the package is
        installed. Of a plug-in file, or a module that is in no package, it is the file's own.
        Other files that those import, other packages, compiled code and data are not covered.

        It is read anew each time, 10 ms for 300 files, so that an edit always shows.
        Raises `UserError` as `get` does, and where there is no source to read.
        """
        entry = self.entry(name)
        if entry.own:
            return None
        try:
            return _digest(entry.source)
        except OSError as error:
            raise UserError(
                f"The source of the {self.kind} '{name}' cannot be read at {entry.place}, which a "
                "record must identify: register it in a .py file, and give that with --plugin."
            ) from error

    def _wrong(self, name: object) -> str:
        """Say what is wrong with a name, or nothing."""
        # a reader is named by a suffix, with its dot
        text = name.removeprefix("." * (self.kind == "reader")) if isinstance(name, str) else ""
        if _NAME.fullmatch(text):
            return ""
        return (
            f"The {self.kind} {name!r} cannot be called that, as a name begins with a letter or "
            "digit of ASCII and holds those, '_', '.' and '-' alone"
        )

    def _forget(self, keep: Collection[str]) -> None:
        """Take back what modules registered that then failed, which Python forgets likewise."""
        with self._lock:
            self._entries = {
                name: entry
                for name, entry in self._entries.items()
                if name in keep or entry.module in sys.modules
            }

    def _found(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._entry_points is None:
            self._entry_points = {}
            points = importlib.metadata.entry_points(group=self._group) if self._group else ()
            for point in points:
                if wrong := self._wrong(point.name):
                    _skip(point.value, f"{wrong}.")
                elif (taken := self._entries.get(point.name)) is not None:
                    _skip(point.value, f"the {self.kind} '{point.name}' exists at {taken.place}")
                elif (other := self._entry_points.get(point.name)) is not None:
                    _skip(point.value, f"the {self.kind} '{point.name}' is also {other.value}")
                else:
                    self._entry_points[point.name] = point
        return self._entry_points

    def _load(self, name: str, point: importlib.metadata.EntryPoint) -> None:
        """Import an entry point; its module registers the name through the decorator.

        Not under the lock: another thread that the module waits for may need the registry.
        """

        def load() -> None:
            point.load()
            if name not in self._entries:
                raise UserError(f"it does not register the {self.kind} '{name}'.")

        if not attempt(point.value, load):
            with self._lock:
                self._found().pop(name, None)


def attempt(what: object, load: Callable[[], None]) -> bool:
    """Run what registers things; where it fails, take them back, warn, and return False."""
    before = {registry: set(registry._entries) for registry in REGISTRIES}
    try:
        load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's code raises, as SystemExit
        for registry in REGISTRIES:
            registry._forget(keep=before.get(registry, ()))
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        _skip(what, f"{kind}{' '.join(str(error).split())}".removesuffix(": "))
        return False
    return True


def _digest(source: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all .py files in a folder."""
    if not source.is_dir():
        return hashlib.sha256(source.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*.py")}
    for name, path in sorted(files.items()):
        if path.is_file():  # not the dangling link that an editor locks a file with
            content = path.read_bytes()
            digest.update(os.fsencode(name) + f"\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _skip(what: object, why: str) -> None:
    warn_of_plugin(f"The plug-in {what} is skipped: {why}")


def warn_of_plugin(message: str) -> None:
    """Warn of an extension that could not be used, or does nothing."""
    warnings.warn(message, PluginWarning, stacklevel=3)
