import subprocess
import sys
from pathlib import Path

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


def test_an_executor_with_an_option_is_added_by_one_module(tmp_path: Path) -> None:
    (tmp_path / "polite.py").write_text(
        "from emsym.run.executors.base import ExecutorOption, register_executor\n"
        "@register_executor('polite', options=[ExecutorOption('greeting', 'Of polite.')])\n"
        "def polite(setup, greeting=''): 'Says a word before it works.'\n"
    )
    code = (
        "import sys; from emsym.run import executors; executors.__path__.append(sys.argv[1])\n"
        "from emsym.cli import cli; cli(['run', '--help'])"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "--greeting" in done.stdout
