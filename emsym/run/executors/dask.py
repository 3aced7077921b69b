"""Dask clusters: cells on many machines, their records back to the one process that stores them.

A worker of Dask's runs each cell in a process of its own, as `emsym.run.executors.local` does, so
that what ends a cell ends neither the worker nor another cell. When a worker dies its cells are run
elsewhere.
"""

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, first_line
from emsym.paths import cards_folder
from emsym.run.executors.base import ExecutorOption, Note, Pool, Setup, register_executor
from emsym.run.executors.local import LocalExecutor

if TYPE_CHECKING:
    from distributed import Client, Worker

PATIENCE = 20.0
"""Seconds in which a scheduler must answer."""
QUEUE = 24 * 3600.0
"""Seconds that workers may wait in a job queue."""
NOTE_EVERY = 2.0
"""Seconds between two notes of a worker: all of them go through the scheduler."""
TOPIC = "emsym-notes"
ALIKE = ("emsym", "torch", "timm", "segmentation-models-pytorch", "captum", "quantus", "numpy")
"""Packages that must have the same version everywhere: they decide the numbers."""


@dataclass(frozen=True)
class Spec:
    """The settings of a run that its workers need."""

    threads: int
    memory: int | None
    plugins: tuple[tuple[str, bytes], ...]
    cards: Path
    """Where the run's machine has the cards that ship with emsym."""
    offline: bool


@register_executor(
    "dask",
    options=[
        ExecutorOption("scheduler", "Of dask: the address of a scheduler, tcp://…"),
        ExecutorOption(
            "cluster",
            "Of dask: a TOML file that says how workers are asked for of a job queue.",
            Path,
        ),
    ],
)
@contextmanager
def dask(setup: Setup, scheduler: str | None = None, cluster: Path | None = None) -> Iterator[Pool]:
    """The workers of a Dask cluster (needs `pip install 'emsym[cluster]'`).

    `scheduler` is the address of one that runs already; `cluster` is a file that says how workers
    are asked for of a job queue.

    Raises `UserError` where no scheduler can be reached, where it has no workers, and where they
    differ from this machine in what decides the numbers.
    """
    if (scheduler is None) == (cluster is None):
        raise UserError(
            "--executor dask needs either --scheduler tcp://… of one that runs, or --cluster with "
            "a TOML file that says how to ask a job queue for workers."
        )
    try:
        import distributed
    except ImportError as error:
        raise UserError(
            "--executor dask needs Dask: python -m pip install 'emsym[cluster]'."
        ) from error
    # what they tell of a lost scheduler, `check` tells in one sentence
    for name in ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if cluster is None:
        with _client(scheduler) as client:
            yield from _pool(client, setup, PATIENCE)
    else:
        from emsym.run.workers.job_queue import queue_cluster

        with (
            queue_cluster(cluster) as queued,
            distributed.Client(queued, set_as_default=False) as client,
        ):
            queued.scale(jobs=setup.workers)
            yield from _pool(client, setup, QUEUE)


@contextmanager
def _client(address: str | None) -> "Iterator[Client]":
    from distributed import Client

    connected: Future[Client] = Future()

    def ask() -> None:
        try:
            # no default: arrays of Dask that are read here are none of the cluster's work
            connected.set_result(Client(address, timeout=PATIENCE, set_as_default=False))
        except BaseException as error:  # whatever answers there may say anything
            connected.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        client = connected.result(PATIENCE + 5)  # a port that is silent is waited for without end
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        why = first_line(error) if str(error) else "no answer"
        raise UserError(
            f"The scheduler at {address} cannot be reached ({why}): is it running, and is the "
            "address the one that it printed, such as tcp://host:8786?"
        ) from error
    with client:
        yield client


def _pool(client: "Client", setup: Setup, patience: float) -> Iterator[Pool]:
    address = client.scheduler.address if client.scheduler else ""
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError as error:
        raise UserError(
            f"The scheduler at {address} has no workers: start some with `dask worker {address}`, "
            "in an environment in which emsym is installed."
        ) from error
    require_alike(versions(), _versions_of_workers(client))
    spec = Spec(
        setup.threads,
        setup.memory,
        tuple((path.name, path.read_bytes()) for path in setup.plugins),
        cards_folder(),
        setup.offline,
    )
    client.subscribe_topic(TOPIC, lambda event: setup.notice(Note(**event[1])))

    def check() -> None:
        if client.status != "running":
            raise UserError(
                f"The scheduler at {address} is gone: every finished record is kept. Start it and "
                "its workers again, and run the same command."
            )

    def stop() -> None:
        client.run(end_workers, on_error="ignore")

    places = sum(client.nthreads().values())
    try:
        yield Pool(ClusterExecutor(client, spec), max(places, setup.workers), stop, check)
    except BaseException:
        if client.status == "running":
            stop()
        raise


class ClusterExecutor(Executor):
    """Submits to a Dask cluster what its workers run in processes of their own."""

    def __init__(self, client: "Client", spec: Spec) -> None:
        """`client` is connected."""
        self._executor = client.get_executor(pure=False)
        self._spec = spec

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Schedule ``fn(*args, **kwargs)``, which must be picklable."""
        future: Future = self._executor.submit(isolated, self._spec, fn, args, kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks."""
        self._executor.shutdown(wait=wait)


def versions() -> dict[str, str]:
    """Return this machine's versions of what decides the numbers."""
    numbers = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in ALIKE:
        try:
            # torch's build for another processor or GPU is the same version
            numbers[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            numbers[name] = "not installed"
    return numbers


def require_alike(here: dict[str, str], workers: dict[str, dict[str, str]]) -> None:
    """Raise `UserError`, which names both sides, where a worker has other versions than `here`."""
    for address, there in workers.items():
        differing = [
            f"{name} {there.get(name)} instead of {ours}"
            for name, ours in here.items()
            if there.get(name) != ours
        ]
        if differing:
            raise UserError(
                f"The worker {address} has {', '.join(differing)} here: install the same versions "
                "on both, or their records cannot stand side by side."
            )


def _versions_of_workers(client: "Client") -> dict[str, dict[str, str]]:
    answers = client.run(versions, on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            raise UserError(
                f"The worker {address} cannot run emsym ({first_line(answer)}): install emsym "
                f"{version('emsym')} in its environment."
            ) from answer
    return dict(answers)


_alone = threading.Lock()
_kept: dict[Spec, LocalExecutor] = {}


def isolated(spec: Spec, fn: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Inside a worker of Dask's: run a function in a process of its own."""
    from distributed import get_worker

    with _alone:
        if spec not in _kept:
            _end_all()
            _kept[spec] = _executor(spec, get_worker())
        executor = _kept[spec]
    return executor.submit(fn, *(_at_home(arg, spec) for arg in args), **kwargs).result()


def end_workers() -> None:
    """Inside a worker of Dask's: end what runs."""
    with _alone:
        _end_all()


def _end_all() -> None:
    for executor in _kept.values():
        executor.stop()
    _kept.clear()


def _executor(spec: Spec, worker: "Worker") -> LocalExecutor:
    threads = worker.state.nthreads
    allowed = worker.memory_manager.memory_limit
    memory = spec.memory or (int(allowed) // threads if allowed else None)
    sent: dict[str, tuple[str | None, float]] = {}

    def notice(note: Note) -> None:
        task, at = sent.get(note.worker, ("", 0.0))
        now = time.monotonic()
        if note.task != task or now - at > NOTE_EVERY:
            sent[note.worker] = note.task, now
            named = f"{worker.name}:{note.worker}" if threads > 1 else str(worker.name)
            worker.log_event(TOPIC, asdict(replace(note, worker=named)))

    return LocalExecutor(
        threads,
        plugins=spec.plugins,
        memory=memory,
        threads=spec.threads,
        notice=notice,
        offline=spec.offline,
    )


def _at_home(arg: Any, spec: Spec) -> Any:
    """The argument of a task, with a card that ships with emsym as it lies on this machine."""
    from emsym.data.cards import Card
    from emsym.run.job import Job

    if isinstance(arg, Job):
        return replace(arg, card=_at_home(arg.card, spec))
    if isinstance(arg, Card) and arg.folder == spec.cards:
        return arg.in_folder(cards_folder())
    return arg
