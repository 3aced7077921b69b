"""A worker: a process that does one task after the other, and says what it is at.

It reads tasks from its standard input and answers on its standard output, both as pickles of its
parent's and its own making. When the parent is gone it ends at once, whatever it is at.
"""

import faulthandler
import os
import pickle
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from emsym.plugins import load_plugin

NOTE_EVERY = 0.2
"""Seconds between two notes of one phase."""


WAITING = "waiting"
"""What a phase begins with that does not count against a time limit."""


class _Notes:
    """Where the notes of this process go."""

    def __init__(self) -> None:
        self.listener: Callable[[tuple[str, int]], None] | None = None
        self.phase, self.at = "", 0.0


_NOTES = _Notes()


def note(phase: str, detail: str = "") -> None:
    """Tell who watches what this process is at; nothing where nobody does.

    Said often is cheap: of one phase, a note is sent five times a second at most.
    """
    now = time.monotonic()
    if _NOTES.listener is None or (phase == _NOTES.phase and now - _NOTES.at < NOTE_EVERY):
        return
    _NOTES.phase, _NOTES.at = phase, now
    _NOTES.listener((f"{phase} {detail}".rstrip(), _gpu_memory()))


def _gpu_memory() -> int:
    """Bytes that this process holds of GPUs; torch is not imported to know it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.memory_reserved(index) for index in range(torch.cuda.device_count()))


def serve() -> None:
    """Serve the parent until it says that it is done."""
    faulthandler.enable()
    answers, stream = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what a library prints is no answer
    sys.stdin.close()  # as Python's own `exit` does
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.simplefilter("ignore")  # the parent has shown its own; libraries' are not the user's
    tasks: queue.SimpleQueue[tuple | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(stream, tasks), daemon=True).start()
    _NOTES.listener = lambda told: _answer(answers, "note", told)
    for plugin in tasks.get() or ():
        load_plugin(plugin if isinstance(plugin, Path) else _unpacked(*plugin))
    while (task := tasks.get()) is not None:
        function, args, kwargs = task
        _NOTES.phase = ""
        try:
            kind, result = "result", function(*args, **kwargs)
        except Exception as error:
            kind, result = "error", error
        except BaseException as error:  # a stranger's: here nobody presses Ctrl-C, or leaves
            kind, result = "error", RuntimeError(f"{type(error).__name__}: {error}")
        _answer(answers, kind, result)


def _receive(stream: BinaryIO, tasks: "queue.SimpleQueue[tuple | None]") -> None:
    while True:
        try:
            task = pickle.load(stream)
        except EOFError:
            os._exit(1)  # the parent died: nobody will read what this is at
        except Exception as error:  # what cannot be read here is its task's failure
            task = (_raise, (error,), {})
        tasks.put(task)


def _answer(stream: BinaryIO, kind: str, content: Any) -> None:
    try:
        message = pickle.dumps((kind, content))
    except Exception as error:  # a stranger's exception may hold anything
        what = content if isinstance(content, BaseException) else error
        message = pickle.dumps(("error", RuntimeError(f"{type(what).__name__}: {what}")))
    stream.write(message)
    stream.flush()


def _raise(error: Exception) -> None:
    raise error


def _unpacked(name: str, source: bytes) -> Path:
    """A plug-in that came from another machine, as a file."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="emsym-plugin-")) / name
    path.write_bytes(source)
    return path
