import subprocess
import sys

from emsym.run.executors.registry import EXECUTORS, executor_options


def test_those_that_come_with_emsym_are_registered_with_their_options() -> None:
    assert {"dask", "local"} <= set(EXECUTORS.names())
    assert {"scheduler", "cluster"} <= {option.name for option in executor_options()}


def test_the_options_are_known_without_importing_what_is_slow() -> None:
    code = (
        "import sys; from emsym.run.executors.registry import executor_options\n"
        "assert executor_options()\n"
        "print({'torch', 'distributed', 'dask', 'pydantic', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
