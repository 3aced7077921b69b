from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli import cli


def run(*words: str) -> str:
    done = CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
    return done.output


def test_a_new_protocol_can_be_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("protocol", "new", "mine", "--init", "rgb", "--init", "mirror", "--seeds", "2")
    assert said.splitlines()[0].startswith("Wrote mine.toml: 4 cells.")
    then = said.splitlines()[1].removeprefix("Then: emsym-bench ")
    planned = run(*then.split())
    assert "mirror · seed 1" in planned
    assert "0 stored, 4 to run" in planned


def test_strategies_of_a_plugin_are_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "from emsym import register_init\n"
    source += "register_init('as-is')(lambda rgb, slices: rgb)\n"
    Path("mine.py").write_text(source)
    said = run(
        "protocol", "new", "a", "--init", "as-is", "--plugin", "mine.py", "--output", "b.toml"
    )
    assert said.splitlines()[1] == "Then: emsym-bench plan --protocol b.toml --plugin mine.py"
    assert '"as-is"' in Path("b.toml").read_text()
