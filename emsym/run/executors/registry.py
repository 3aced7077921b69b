"""The executors that come with emsym: importing this module has each register itself."""

from importlib import import_module
from pkgutil import iter_modules

from emsym.run import executors
from emsym.run.executors.base import EXECUTORS, executor_kind, executor_options, register_executor

__all__ = ["EXECUTORS", "executor_kind", "executor_options", "register_executor"]

for _module in iter_modules(executors.__path__, f"{executors.__name__}."):
    import_module(_module.name)
