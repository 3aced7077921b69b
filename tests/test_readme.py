"""The README is true: its code runs, and its test command is what CI calls."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BENCH = Path(sys.executable).with_name("emsym-bench")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_calls_the_test_command_literally() -> None:
    command = next(block.strip() for block in blocks("sh") if block.strip().endswith("-m pytest"))
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_plugin_of_the_readme_runs(tiny: Path) -> None:
    code = next(block for block in blocks("python") if "register_init" in block)
    (tiny.parent / "my_init.py").write_text(code)
    words = next(line for line in blocks("sh") if "--plugin" in line).split()[1:]
    done = subprocess.run(
        [BENCH, *words, "--protocol", tiny, "--seed", "0"],
        cwd=tiny.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "centre-green" in (tiny.parent / "results" / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in blocks("sh")
        for line in (whole.split("#")[0].strip() for whole in block.splitlines())
        if line.startswith(("emsym-bench plan", "emsym-bench list"))
    ],
)
def test_a_command_of_the_readme_works(line: str, tmp_path: Path) -> None:
    words = [word.strip("'") for word in line.split()[1:]]
    done = subprocess.run([BENCH, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_card_of_the_readme_is_valid(tmp_path: Path) -> None:
    from emsym.data.cards import load_card

    (tmp_path / "my-volume.toml").write_text(blocks("toml")[0])
    assert load_card("my-volume.toml", tmp_path).task.name == "mitochondria"


def test_every_path_of_the_readme_exists() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
