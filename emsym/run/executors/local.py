"""Worker processes on this machine, each on its own: what ends one ends one task.

Python's own pool breaks as a whole when a process dies, and knows no time limit for a task; others
share one pipe between all processes, whose lock a killed one keeps. pebble 5.2, tried in its place,
left one of 3,000 short tasks unanswered where processes were killed three times a second. Here
each worker has a pipe of its own.
"""

import os
import pickle
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from emsym.run.executors.base import Note, Pool, Setup, register_executor
from emsym.run.workers.fork_server import start_worker
from emsym.run.workers.hardware import share
from emsym.run.workers.notes import WAITING

Plugin = Path | tuple[str, bytes]
"""A file, or the name and the content of one that lies on another machine."""

GRACE = 5.0
"""Seconds that a worker has to end by itself."""
LOOK = 0.1
"""Seconds between two looks at a worker's memory and time."""


class WorkerDied(Exception):
    """A worker process ended, or was ended, before its task was done; half a sentence says why."""


@dataclass(frozen=True)
class Timed:
    """A function that is ended, with its worker, when it takes longer than so many seconds."""

    function: Callable
    seconds: float | None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function without a limit, as an executor does that cannot end it."""
        return self.function(*args, **kwargs)


class LocalExecutor(Executor):
    """Runs functions in worker processes that are started when they are needed, and kept.

    A worker that crashes, is killed, takes more memory than it may, or longer over a `Timed`
    function, fails its task's future with `WorkerDied`; the next task gets a fresh one.
    """

    def __init__(
        self,
        workers: int,
        *,
        plugins: Sequence[Plugin] = (),
        memory: int | None = None,
        threads: int = 1,
        notice: Callable[[Note], object] = lambda note: None,
        offline: bool = False,
    ) -> None:
        """`memory` is in bytes, by default a worker's share of the machine's.

        `threads` are those of libraries in a worker; `notice` is called from other threads;
        `offline` forbids libraries in a worker to fetch weights.
        """
        self._plugins, self._environment = tuple(plugins), _environment(threads, offline)
        self._memory = memory or share(workers)
        self._notice = notice
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed, self._stopped = False, threading.Event()
        self._lock = threading.Lock()
        self._keepers = [
            threading.Thread(target=self._keep, args=(str(number),), daemon=True)
            for number in range(1, workers + 1)
        ]
        for keeper in self._keepers:
            keeper.start()

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Schedule ``fn(*args, **kwargs)``, which must be picklable."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is shut down")
            task = _Task(Future(), fn, args, kwargs)
            self._tasks.put(task)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and end the workers once they have done those that are left."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if cancel_futures:
                    self._drop()
                for _ in self._keepers:
                    self._tasks.put(None)
        if wait:
            for keeper in self._keepers:
                keeper.join()

    def stop(self) -> None:
        """End every worker now; the tasks that they are at fail with `WorkerDied`."""
        self._stopped.set()
        self.shutdown(cancel_futures=True)

    def _drop(self) -> None:
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                task.future.cancel()

    def _tell(self, note: Note) -> None:
        with suppress(Exception):  # who watches must not end who works
            self._notice(note)

    def _keep(self, name: str) -> None:
        """Be one worker's keeper: hand it tasks, and replace it when it died."""
        if hasattr(signal, "pthread_sigmask"):
            # The worker inherits it: what a terminal or a job queue sends to all processes is for
            # the parent to act on.
            ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
            signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        worker: _Worker | None = None
        while (task := self._tasks.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            what = str(task.args[0]) if task.args else ""
            try:
                fresh = worker is None or not worker.alive
                self._tell(Note(name, what, "starting" if fresh else ""))
                if worker is None or not worker.alive:
                    worker = _Worker(self._plugins, self._environment)

                def tell(phase: str, memory: int, gpu: int, what: str = what) -> None:
                    self._tell(Note(name, what, phase, memory, gpu))

                result = worker.do(task, self._memory, self._stopped, tell)
            except BaseException as error:
                if isinstance(error, WorkerDied) and worker is not None:
                    worker.end(now=True)
                    worker = None
                self._tell(Note(name, None))
                task.future.set_exception(error)
            else:
                self._tell(Note(name, None))
                task.future.set_result(result)
            del task
        if worker is not None:
            worker.end(now=self._stopped.is_set())


@register_executor("local")
@contextmanager
def local(setup: Setup) -> Iterator[Pool]:
    """Worker processes on this machine."""
    executor = LocalExecutor(
        setup.workers,
        plugins=setup.plugins,
        memory=setup.memory,
        threads=setup.threads,
        notice=setup.notice,
        offline=setup.offline,
    )
    try:
        yield Pool(executor, setup.workers, executor.stop)
    except BaseException:
        executor.stop()
        raise
    executor.shutdown()


def _environment(threads: int, offline: bool) -> dict[str, str]:
    """The environment variables of a worker, beside those of its parent."""
    libraries = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    variables = dict.fromkeys(libraries, str(threads))
    # what makes cuBLAS deterministic; must be there before a GPU is touched
    variables["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    if offline:  # a plug-in's network may fetch weights by itself
        variables["HF_HUB_OFFLINE"] = "1"
    return variables


@dataclass(frozen=True)
class _Task:
    future: Future
    fn: Callable
    args: tuple
    kwargs: dict[str, Any]


class _Worker:
    """One process, and the thread that hears it."""

    def __init__(self, plugins: Sequence[Plugin], environment: dict[str, str]) -> None:
        environment = {**os.environ, **environment}
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with it
        self._process = start_worker(self._errors, environment)
        self._seen = psutil.Process(self._process.pid)
        self._heard: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._hear, daemon=True).start()
        self._send((environment, tuple(plugins)))

    @property
    def alive(self) -> bool:
        """Whether it can be given a task."""
        return self._process.poll() is None

    def do(
        self,
        task: _Task,
        allowed: int,
        stopped: threading.Event,
        tell: Callable[[str, int, int], None],
    ) -> Any:
        """Return the task's result; raises what it raised, or `WorkerDied`."""
        self._send((task.fn, task.args, task.kwargs))
        seconds = task.fn.seconds if isinstance(task.fn, Timed) else None
        start, (phase, gpu) = time.monotonic(), ("", 0)
        while True:
            try:
                message = self._heard.get(timeout=LOOK)
            except queue.Empty:
                message = ("", None)
            if message is None:
                raise WorkerDied(self._why())
            kind, content = message
            if kind == "result":
                return content
            if kind == "error":
                raise content
            memory = self._memory()
            phase, gpu = content if kind == "note" else (phase, gpu)
            if phase.startswith(WAITING):
                start = time.monotonic()
            tell(phase, memory, gpu)
            if stopped.is_set():
                raise WorkerDied("it was stopped")
            if seconds is not None and time.monotonic() - start > seconds:
                raise WorkerDied(f"it took longer than the --timeout of {seconds:g} s")
            if memory > allowed:
                raise WorkerDied(
                    f"it took {memory / 1e9:.1f} GB of memory, more than the "
                    f"{allowed / 1e9:.1f} GB of one worker: allow more with --memory, or run "
                    "fewer --workers"
                )

    def end(self, now: bool) -> None:
        """End the process; `now`, without letting it finish what it is at."""
        if now:
            self._process.kill()
        else:
            self._send(None)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):  # of what it was not able to read any more
            self._process.stdin.close()
        self._errors.close()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        whole = pickle.dumps(message)
        with suppress(OSError):  # it is gone, which is noticed where its answer is awaited
            self._process.stdin.write(whole)
            self._process.stdin.flush()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            try:
                while True:
                    self._heard.put(pickle.load(stream))
            except Exception:  # the end, or half a message of one that was killed
                self._heard.put(None)

    def _memory(self) -> int:
        try:
            return int(self._seen.memory_info().rss)
        except psutil.Error:
            return 0

    def _why(self) -> str:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "its process closed its pipes"
        if code >= 0:
            return f"its process ended by itself, with code {code}{self._last_words()}"
        name = signal.Signals(-code).name
        if name == "SIGKILL":
            return "its process was killed (SIGKILL), most often because memory ran out"
        return f"its process crashed ({name}){self._last_words()}"

    def _last_words(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        # a crash names every thread's frames, and then all extension modules in one long line
        self._errors.seek(max(0, self._errors.tell() - (1 << 20)))
        output = self._errors.read().decode(errors="replace")
        _, _, crashed = output.partition("Current thread")  # what faulthandler tells of it
        frames = [line for line in crashed.splitlines() if line.strip().startswith("File ")]
        lines = [line for line in output.splitlines() if line.strip()]
        last = frames[:1] or [line for line in lines if not line.startswith("Extension mod")][-1:]
        return f": {last[0].strip()[:300]}" if last else ""
