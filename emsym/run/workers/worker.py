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
import warnings
from pathlib import Path
from typing import Any, BinaryIO

from emsym.freed_memory import keep_freed_memory
from emsym.plugins import load_plugin
from emsym.run.workers import notes


def serve() -> None:
    """Serve the parent until it says that it is done."""
    faulthandler.enable()
    keep_freed_memory()
    answers, stream = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what a library prints is no answer
    sys.stdin.close()  # as Python's own `exit` does
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.simplefilter("ignore")  # the parent has shown its own; libraries' are not the user's
    tasks: queue.SimpleQueue[tuple | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(stream, tasks), daemon=True).start()
    notes.send_to(lambda sent: _answer(answers, "note", sent))
    environment, plugins = tasks.get() or ({}, ())
    os.environ.clear()
    os.environ.update(environment)
    for plugin in plugins:
        load_plugin(plugin if isinstance(plugin, Path) else _unpacked(*plugin))
    while (task := tasks.get()) is not None:
        function, args, kwargs = task
        notes.begin_task()
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
