"""Where cells are run: a registry of what gives a `concurrent.futures.Executor`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emsym.errors import UserError
from emsym.registry import Registry
from emsym.run.executors.base import Opener, Pool, Setup
from emsym.run.executors.local import LocalExecutor

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
    from emsym.run.executors.dask import connect

    with connect(setup) as pool:
        yield pool
