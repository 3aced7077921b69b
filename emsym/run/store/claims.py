"""The claims of runs on one store, so that two runs share the work.

A run says so in a file of its own, which it touches again and again. One that is not touched any
more is of a run that died, and counts for nothing: there is no lock that a crash leaves behind.

filelock's `SoftFileLease` does much of this, with a file and a thread for each cell, and was
tried in its place. Of a run that died an hour ago on another machine, it has whoever comes watch
the file for its whole duration before the cell is free; here the file's time says at once that it
is.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from emsym.errors import UserError
from emsym.files import write_atomically

PREFIX = ".running-"
BEAT = 15.0
"""Seconds between two touches."""
STALE = 120.0
"""Seconds after which nobody is believed to be alive; network file systems tell times late."""


class Claims:
    """The cells that this run is at, told to others, and those that others are at."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the store's, and exists."""
        self._folder = folder
        self._path = folder / f"{PREFIX}{uuid.uuid4().hex}"
        self._mine: set[str] = set()
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to tell."""
        self._write()
        self._beat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Tell no more."""
        self._over.set()
        self._beat.join()
        with suppress(OSError):
            self._path.unlink()

    def claim(self, keys: Collection[str], at: Collection[str] = ()) -> set[str]:
        """Say that this run is at `at`, and wants `keys`; those of them that it got."""
        free = set(keys) - self.others()
        self._mine = {*at, *free}
        self._write()
        if not free:
            return free
        free -= self.others(before=self._path.name)  # who wanted the same in the same moment
        self._mine = {*at, *free}
        return free

    def others(self, before: str | None = None) -> set[str]:
        """The cells that other runs are at; those of runs whose files' names come before, alone."""
        with suppress(OSError):
            os.utime(self._path)
        try:
            now = self._path.stat().st_mtime  # by the clock that stamps the others' files
        except OSError:
            now = time.time()
        claimed: set[str] = set()
        for path in self._folder.glob(f"{PREFIX}*"):
            if path != self._path and (before is None or path.name < before):
                claimed |= _claimed(path, now)
        return claimed

    def _write(self) -> None:
        me = psutil.Process()
        content = {
            "host": socket.gethostname(),
            "pid": me.pid,
            "started": me.create_time(),
            "keys": sorted(self._mine),
        }
        with suppress(UserError):  # a full disk: cells may be run twice
            write_atomically(self._path, json.dumps(content))

    def _touch(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(OSError):
                os.utime(self._path)


def is_stale(path: Path, now: float) -> bool:
    """Whether the run that a claim is of is over, as far as can be told."""
    try:
        if now - path.stat().st_mtime > STALE:
            return True
        content = json.loads(path.read_bytes())
        if content["host"] != socket.gethostname():
            return False
        process = psutil.Process(content["pid"])
        return abs(process.create_time() - content["started"]) > 1
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False  # not to be read just now: it goes stale where nobody touches it


def _claimed(path: Path, now: float) -> set[str]:
    if is_stale(path, now):
        return set()
    try:
        return {str(key) for key in json.loads(path.read_bytes())["keys"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
