"""The executors that come with emsym: importing this module has each register itself."""

from emsym.run.executors import dask, local  # noqa: F401 - they register themselves
from emsym.run.executors.base import EXECUTORS, executor_kind, executor_options, register_executor

__all__ = ["EXECUTORS", "executor_kind", "executor_options", "register_executor"]
