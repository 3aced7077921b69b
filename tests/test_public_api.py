"""`import emsym`: what is public, how quickly it is there, and what type checkers see of it."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import emsym

HEAVY = {"torch", "numpy", "pandas", "pydantic", "rich", "psutil", "timm"}


def test_dir_shows_what_is_public_and_nothing_else() -> None:
    shown = {name for name in dir(emsym) if not name.startswith("_")}
    assert shown == {name for name in emsym.__all__ if not name.startswith("_")}
    assert {"audit", "run_benchmark", "UserError", "register_executor"} <= shown
    assert not {"Any", "TYPE_CHECKING", "import_module"} & shown


def test_every_name_is_there_and_is_what_type_checkers_are_told() -> None:
    tree = ast.parse(Path(emsym.__file__).read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: statement.module
        for statement in typed.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    lazy = set(emsym.__all__) - {"SCORING_VERSION", "UserError", "__version__"}
    assert told.keys() == lazy
    for name, module in told.items():
        assert getattr(emsym, name) is getattr(import_module(f"{module}"), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'adit'"):
        _ = emsym.adit


def test_importing_the_package_imports_nothing_slow() -> None:
    code = f"import sys, emsym; print({HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_types_are_shipped() -> None:
    assert (Path(emsym.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_a_type_checker_sees_the_types_of_a_users_file(tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text("import emsym\nreveal_type(emsym.audit)\nemsym.run_benchmark(wokers=1)\n")
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", str(user)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "AuditReport" in done.stdout
    assert 'Unexpected keyword argument "wokers"' in done.stdout
