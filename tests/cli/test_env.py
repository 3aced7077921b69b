import importlib.metadata
import json
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from emsym.cli.env import env, this_machine
from emsym.environment import PACKAGES, environment
from emsym.version import __version__

ROOT = Path(__file__).parents[2]


def call(*words: str) -> str:
    return CliRunner().invoke(env, words, catch_exceptions=False).stdout


def test_text_and_json_say_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMSYM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EMSYM_WEIGHTS_DIR", "nowhere")
    before = dict(environment())
    told = json.loads(call("--json"))
    assert dict(environment()) == before, "what records are given is left as it is"
    assert told["emsym"] == __version__
    assert told["commit"] == before["commit"]
    assert told["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert told["cores"] >= 1
    assert 0 < told["memory_gb"] <= psutil.virtual_memory().total / 1e9 + 0.1
    assert told["packages"] == {
        name: importlib.metadata.version(name) for name in PACKAGES if name != "emsym"
    }
    assert told["data_folder"] == str(tmp_path / "data")
    assert told["weights_folder"] == "nowhere"
    text = call()
    for value in (*told["packages"].values(), told["processor"], told["data_folder"]):
        assert value in text


def test_torch_that_is_missing_or_broken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "torch" else real(name)
    )
    assert this_machine().gpus == []
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "torch", None)  # what importing it then raises
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert this_machine().gpus[0].startswith("torch fails: ModuleNotFoundError")


def test_the_template_of_a_report_asks_for_it() -> None:
    assert "emsym-bench env" in (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()
