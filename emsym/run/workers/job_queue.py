"""Dask workers that are asked for of a job queue, such as Slurm's, as a TOML file says."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from emsym.errors import UserError, first_line
from emsym.files import read_toml
from emsym.protocol import Strict

SUBMIT = {
    "slurm": "sbatch",
    "pbs": "qsub",
    "sge": "qsub",
    "lsf": "bsub",
    "htcondor": "condor_submit",
    "oar": "oarsub",
    "moab": "msub",
}

Option = str | int | float | bool | list[str]


class Queue(Strict):
    """A TOML file that says how workers are asked for of a job queue.

    `options` are the arguments of the class of dask-jobqueue, such as ``queue``, ``account``,
    ``cores``, ``memory``, ``walltime`` and ``job_extra_directives``.
    """

    system: Literal["slurm", "pbs", "sge", "lsf", "htcondor", "oar", "moab", "local"]
    """``local`` starts the jobs on this machine, to try the file."""
    options: Annotated[dict[str, Option], Field(min_length=1)]


@contextmanager
def queue_cluster(path: Path) -> Iterator[Any]:
    """Start the cluster of dask-jobqueue that a TOML file describes, and end it afterwards.

    Raises `UserError` where the file is wrong or this machine cannot submit such jobs.
    """
    asked = read_toml(path, Queue)
    try:
        import dask_jobqueue
        from dask_jobqueue.local import LocalCluster
    except ImportError as error:
        raise UserError(
            "--cluster needs dask-jobqueue: python -m pip install 'emsym[cluster]'."
        ) from error
    command = SUBMIT.get(asked.system)
    if command is not None and shutil.which(command) is None:
        raise UserError(
            f"{path}: there is no `{command}` on this machine, with which {asked.system} takes "
            "jobs: run this where jobs are submitted."
        )
    kinds: dict[str, Any] = {
        "slurm": dask_jobqueue.SLURMCluster,
        "pbs": dask_jobqueue.PBSCluster,
        "sge": dask_jobqueue.SGECluster,
        "lsf": dask_jobqueue.LSFCluster,
        "htcondor": dask_jobqueue.HTCondorCluster,
        "oar": dask_jobqueue.OARCluster,
        "moab": dask_jobqueue.MoabCluster,
        "local": LocalCluster,
    }
    try:
        cluster = kinds[asked.system](**asked.options)
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        raise UserError(f"{path}: {asked.system} says: {first_line(error)}.") from error
    with cluster:
        yield cluster
