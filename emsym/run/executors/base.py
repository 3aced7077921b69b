"""The interface of executors: a `Setup` in, a `Pool` out, and the registry that knows them.

Each executor registers itself in its own module, beside the options that only it has.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emsym.errors import UserError
from emsym.registry import Registry

CHECK_EVERY = 0.5
"""Seconds after which Ctrl-C and a lost scheduler are noticed at the latest."""


@dataclass(frozen=True)
class Note:
    """A note of what a worker is doing."""

    worker: str
    task: str | None
    """The first argument of the task, such as a job, in words; None once it is done."""
    phase: str = ""
    memory: int = 0
    """Bytes that the worker holds just now."""
    gpu: int = 0
    """Bytes of GPU memory that it held at its last note."""


@dataclass(frozen=True)
class Setup:
    """How cells are run, as far as it is the same for every executor."""

    workers: int
    """Processes on this machine; on a cluster, those that are asked for of a job queue."""
    threads: int = 1
    """CPU threads of one cell."""
    memory: int | None = None
    """Bytes that one process may hold; by default its share of its machine's."""
    plugins: tuple[Path, ...] = ()
    notice: Callable[[Note], object] = lambda note: None
    offline: bool = False
    """Whether workers must touch no network."""


@dataclass(frozen=True)
class Pool:
    """An executor, and what a run must know about it beyond Python's interface."""

    executor: Executor
    places: int
    """How many tasks run at once, as far as it is known."""
    stop: Callable[[], object]
    """End all tasks now."""
    check: Callable[[], object] = lambda: None
    """Raises `UserError` where nothing can be expected of it any more."""


Opener = Callable[..., AbstractContextManager[Pool]]
"""Is called with a `Setup`, and with the executor's own options by name."""


@dataclass(frozen=True)
class ExecutorOption:
    """An option that one executor has; the command line spells it ``--name``."""

    name: str
    help: str
    type: type = str
    """`str`, `int`, `float`, or `Path` for a file that exists."""


@dataclass(frozen=True)
class ExecutorKind:
    """A registered executor: what opens it, and its own options."""

    opener: Opener
    options: tuple[ExecutorOption, ...] = ()

    def open(
        self, setup: Setup, options: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Pool]:
        """Open the pool, with those options that were given."""
        return self.opener(setup, **(options or {}))


EXECUTORS: Registry[ExecutorKind] = Registry("executor", group="emsym.executors")


def register_executor(
    name: str, options: Sequence[ExecutorOption] = ()
) -> Callable[[Opener], Opener]:
    """Register a context manager that is given a `Setup` and gives a `Pool`.

    It is given the executor's own `options`, too, by name, where a user says them.
    """

    def register(opener: Opener) -> Opener:
        summary = (opener.__doc__ or "").strip().partition("\n")[0]
        EXECUTORS.add(name, ExecutorKind(opener, tuple(options)), summary=summary, depth=2)
        return opener

    return register


def executor_options() -> list[ExecutorOption]:
    """The own options of all executors that are registered by now."""
    kinds = [entry.value for entry in EXECUTORS.registered().values()]
    return [option for kind in kinds for option in kind.options]


def executor_kind(name: str, options: Mapping[str, Any]) -> ExecutorKind:
    """The executor of that name. Raises `UserError` for options that are another's, or nobody's."""
    kind = EXECUTORS.get(name)
    foreign = set(options) - {option.name for option in kind.options}
    for owner, entry in EXECUTORS.registered().items():
        names = [option.name for option in entry.value.options]
        if foreign & set(names):
            flags = " and ".join(f"--{each}" for each in names)
            raise UserError(f"{flags} are of --executor {owner}: say that, too.")
    if foreign:
        raise UserError(f"The executor '{name}' has no option '{min(foreign)}'.")
    return kind
