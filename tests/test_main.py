import subprocess
import sys


def test_python_dash_m_is_the_command() -> None:
    command = [sys.executable, "-m", "emsym", "list", "executors"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["dask", "local"]
