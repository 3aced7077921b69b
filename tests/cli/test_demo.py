"""`demo` on a protocol so small that it takes seconds: the same steps, other constants."""

import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.errors import UserError
from emsym.protocol import load_protocol

demo = importlib.import_module("emsym.cli.demo")  # of whose name the command is, too


def test_its_cell_is_one_of_the_protocol() -> None:
    cells = load_protocol(demo.PROTOCOL).cells()
    for init in (demo.INIT, demo.FIX):
        assert (demo.DATASET, demo.ARCHITECTURE, init, demo.SEED) in cells


def run(*words: object) -> str:
    return CliRunner().invoke(demo.demo, list(map(str, words)), catch_exceptions=False).output


def test_a_cell_is_trained_audited_and_shown(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PROTOCOL", str(tiny))
    monkeypatch.setattr(demo, "DATASET", str(tiny.parent / "tiny-a.toml"))
    monkeypatch.chdir(tmp_path)
    said = run()
    found = json.loads(Path("emsym-demo/audit.json").read_text())
    assert f"Found: {found['verdict']}" in said
    assert "(record " in found["network"]["name"], "it is the network that was trained"
    (record,) = Path("emsym-demo/records").glob("*.json")
    dice = json.loads(record.read_text())["scores"]["dice@0.5"]
    assert f"Dice {dice:.2f}" in said
    look, then = said.split("Look at:")[1].split("Then try:")
    files = [Path(line.strip()) for line in look.strip().splitlines()[::2]]
    assert len(files) == 4
    assert all(path.is_file() for path in files)
    assert f"--seed 0 --output {Path('emsym-demo')}" in then
    with pytest.raises(UserError, match=r"audit\.html exists"):
        run()
    for name in ("audit.html", "audit.json"):
        Path("emsym-demo", name).unlink()
    assert f"Found: {found['verdict']}" in run(), "what was trained before is not trained again"
    Path("emsym-demo/audit.html").unlink()
    Path("emsym-demo/audit.json").unlink()
    files[3].unlink()
    with pytest.raises(UserError, match="without its network: name a new folder"):
        run()
