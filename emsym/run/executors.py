"""Where cells are run: a registry of what gives a `concurrent.futures.Executor`."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from emsym.errors import UserError
from emsym.registry import Registry
from emsym.run.local import LocalExecutor, Note


@dataclass(frozen=True)
class Setup:
    """What a user says of where and how cells are run."""

    workers: int
    """Processes on this machine; on a cluster, those that are asked for of a job queue."""
    threads: int = 1
    """Of one cell, on the processor."""
    memory: int | None = None
    """Bytes that one process may hold; by default its share of its machine's."""
    plugins: tuple[Path, ...] = ()
    notice: Callable[[Note], object] = lambda note: None
    scheduler: str | None = None
    """The address of a scheduler that runs already."""
    cluster: Path | None = None
    """A file that says how workers are asked for of a job queue."""


@dataclass(frozen=True)
class Pool:
    """An executor, and what a run must know of it beyond Python's interface."""

    executor: Executor
    places: int
    """How many tasks run at once, as far as it is known."""
    stop: Callable[[], object]
    """End all tasks now."""
    check: Callable[[], object] = lambda: None
    """Raises `UserError` where nothing can be expected of it any more."""


Opener = Callable[[Setup], AbstractContextManager[Pool]]

EXECUTORS: Registry[Opener] = Registry("executor", group="emsym.executors")


def register_executor(name: str) -> Callable[[Opener], Opener]:
    """Register a context manager that is given a `Setup` and gives a `Pool`."""

    def register(opener: Opener) -> Opener:
        summary = (opener.__doc__ or "").strip().partition("\n")[0]
        EXECUTORS.add(name, opener, summary=summary, depth=2)
        return opener

    return register


@register_executor("local")
@contextmanager
def local(setup: Setup) -> Iterator[Pool]:
    """Worker processes on this machine."""
    if setup.scheduler or setup.cluster:
        raise UserError("--scheduler and --cluster are of --executor dask: say that, too.")
    executor = LocalExecutor(
        setup.workers,
        plugins=setup.plugins,
        memory=setup.memory,
        threads=setup.threads,
        notice=setup.notice,
    )
    try:
        yield Pool(executor, setup.workers, executor.stop)
    except BaseException:
        executor.stop()
        raise
    executor.shutdown()


@register_executor("dask")
@contextmanager
def dask(setup: Setup) -> Iterator[Pool]:
    """The workers of a Dask cluster (needs `pip install 'emsym[cluster]'`)."""
    from emsym.run.cluster import connect

    with connect(setup) as pool:
        yield pool
