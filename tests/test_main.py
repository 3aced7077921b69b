import subprocess
import sys
import types

import pytest

from emsym.__main__ import start


def test_python_dash_m_is_the_command() -> None:
    command = [sys.executable, "-m", "emsym", "list", "executors"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["dask", "local"]


def test_ctrl_c_while_it_is_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Importing(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "emsym.cli", Importing("emsym.cli"))
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 130
