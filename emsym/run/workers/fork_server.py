"""New worker processes, forked from one that has imported torch and the libraries already.

Importing them takes ten seconds of a core; a fork takes milliseconds and shares their memory. The
process that forks holds no thread, reads nothing but requests, and ends when its parent is gone or
has wanted no process for a while. Where a system is not safe to fork, each worker imports by
itself. (Python's own fork server imports the caller's script once more in each process.)
"""

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO, NoReturn, Protocol

LIBRARIES = (
    "segmentation_models_pytorch",
    "emsym.run.cell",
    "emsym.scores.faithfulness.quantus_metrics",
)
"""The modules by which a cell has imported in the end what takes long."""
IDLE = 30.0
"""Seconds without any process after which the one that forks them ends."""
_UNREAD = ("EMSYM_", "PYTEST_")
"""Beginnings of variables that no library reads while it is imported."""


class Process(Protocol):
    """A running process; as `subprocess.Popen` says it."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """The stream that it reads."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """The stream that it writes."""

    def poll(self) -> int | None:
        """Return the exit code of a process that has ended, minus the number of its signal."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""

    def kill(self) -> None:
        """End the process now."""


def start_worker(errors: IO[bytes], environment: Mapping[str, str]) -> Process:
    """Start a process that runs `emsym.run.workers.worker.serve`.

    `errors` is the file of its standard error, `environment` holds all of its variables.
    """
    if sys.platform == "linux":
        return _forked(errors, environment)
    return subprocess.Popen(
        _python("from emsym.run.workers.worker import serve; serve()"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
    )


def _python(code: str) -> list[str]:
    """The command of a Python process that finds the modules that this one finds."""
    # not `-m`: the folder that the command is run in is not to be searched for modules
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]


# --- the parent's side ----------------------------------------------------------------------------


class _Server:
    """The process that forks workers, seen from its parent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                _python(f"from {__name__} import fork_workers; fork_workers({LIBRARIES!r})"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, errors: IO[bytes]) -> "_Forked":
        """Return a new worker. Raises `OSError` where the server has ended."""
        stdin, ours = os.pipe()
        answers, stdout = os.pipe()
        codes, code = os.pipe()
        folder = os.open(".", os.O_PATH)
        theirs = [stdin, stdout, code, folder]
        try:
            socket.send_fds(self._socket, [b"fork"], [errors.fileno(), *theirs])
        except OSError:
            for descriptor in (ours, answers, codes):
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return _Forked(os.fdopen(ours, "wb"), os.fdopen(answers, "rb"), os.fdopen(codes, "rb", 0))


class _Forked:
    """A worker that a server forked; the server is its parent and writes its exit code."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], codes: IO[bytes]) -> None:
        self.stdin, self.stdout, self._codes = stdin, stdout, codes
        self._code: int | None = None
        if not (pid := codes.readline()):
            for stream in (stdin, stdout, codes):
                stream.close()
            raise OSError("the process that forks has ended")
        self.pid = int(pid)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._codes, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("a worker", timeout or 0)
            # nothing, where the server was killed: then nobody knows
            self._code = int(self._codes.readline() or -signal.SIGKILL)
            self._codes.close()
        return self._code

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


_lock = threading.Lock()
_servers: list[tuple[object, _Server]] = []
"""The servers of this process, each with what its libraries were imported with."""


def _forked(errors: IO[bytes], environment: Mapping[str, str]) -> _Forked:
    read = {name: environment[name] for name in environment if not name.startswith(_UNREAD)}
    basis = (LIBRARIES, sys.path.copy(), read)
    with _lock:
        _servers[:] = [(other, server) for other, server in _servers if server.alive]
        for other, server in _servers:
            if other == basis:
                with contextlib.suppress(OSError):  # it has ended just now
                    return server.fork(errors)
        server = _Server(environment)
        _servers.append((basis, server))
        return server.fork(errors)


# --- the server's side ----------------------------------------------------------------------------


def fork_workers(libraries: Sequence[str]) -> None:
    """Import the libraries, and fork a worker for each request until standard input closes.

    It is a socket. With a request come the worker's standard error, input and output, a pipe for
    its process id and exit code, and the folder that it runs in.
    """
    from emsym.run.workers.worker import serve

    for name in libraries:
        with contextlib.suppress(Exception):  # a worker that needs it tells what is wrong
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection would write to the memory that is shared
    requests, (woken, wake) = socket.socket(fileno=os.dup(0)), os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    codes: dict[int, int] = {}  # workers → where their exit codes are written
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        ours = [requests.fileno(), woken, wake, selector.fileno()]  # type: ignore[attr-defined]
        wanted = True
        while (codes or wanted) and (ready := selector.select(None if codes else IDLE)):
            sources = [key.fileobj for key, _ in ready]
            if woken in sources:
                os.read(woken, 4096)
                _tell_of_ends(codes)
            if requests in sources:
                message, descriptors, _, _ = socket.recv_fds(requests, 4, 5)
                if not message:
                    wanted = False
                    selector.unregister(requests)
                    continue
                *streams, code, folder = descriptors
                if (pid := os.fork()) == 0:
                    _become_worker(serve, streams, folder, [*descriptors, *ours, *codes.values()])
                os.write(code, f"{pid}\n".encode())
                codes[pid] = code
                for descriptor in (*streams, folder):
                    os.close(descriptor)


def _become_worker(
    serve: Callable[[], None], streams: list[int], folder: int, others: list[int]
) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.fchdir(folder)
        errors, stdin, stdout = streams
        for descriptor, number in ((stdin, 0), (stdout, 1), (errors, 2)):
            os.dup2(descriptor, number)
        for descriptor in others:
            os.close(descriptor)
        serve()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _tell_of_ends(codes: dict[int, int]) -> None:
    """Write the exit codes of the workers that have ended, where their parent reads them."""
    for pid in list(codes):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            pipe = codes.pop(pid)
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(pipe)
