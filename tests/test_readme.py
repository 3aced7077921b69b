"""The README is true: its code runs, and its test command is what CI calls."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BENCH = Path(sys.executable).with_name("emsym-bench")


CARDS = (ROOT / "datasets" / "README.md").read_text()
HOW_TO = "\n".join(path.read_text() for path in sorted((ROOT / "docs" / "how-to").glob("*.md")))
DATA_SETS = (ROOT / "docs" / "reference" / "data-sets.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_ci_calls_the_test_command_literally() -> None:
    command = next(block.strip() for block in blocks("sh") if block.strip().endswith("-m pytest"))
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.slow
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
    assert "centre-green" in (tiny.parent / "emsym-results" / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in blocks("sh", README + HOW_TO)
        for line in (whole.split("#")[0].strip() for whole in block.splitlines())
        if line.startswith(("emsym-bench plan", "emsym-bench list", "emsym-bench data list"))
    ],
)
def test_a_command_of_the_readme_and_the_how_tos_works(line: str, tiny: Path) -> None:
    tiny.rename(tiny.with_name("mine.toml"))
    words = [word.strip("'") for word in line.split()[1:]]
    done = subprocess.run([BENCH, *words], cwd=tiny.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_card_of_the_page_is_valid(tmp_path: Path) -> None:
    from emsym.data.cards import load_card

    whole, downloaded = blocks("toml", CARDS)
    (tmp_path / "my-volume.toml").write_text(whole)
    card = load_card("my-volume.toml", tmp_path)
    assert list(card.tasks) == ["mitochondria", "membranes"]
    (tmp_path / "my-volume.toml").write_text(
        whole[: whole.index("[tasks.mito")]
        + whole[whole.index("[tasks.membranes") : whole.index("[sources")]
        + downloaded
    )
    assert load_card("my-volume.toml", tmp_path).sources["zenodo"].files["snemi.zip"].checksum


def test_the_table_of_data_sets_is_what_the_command_prints() -> None:
    command = "emsym-bench data list --markdown"
    table = re.search(rf"<!-- {command} -->\n(.*?)<!-- end -->", DATA_SETS, re.DOTALL)
    assert table is not None
    done = subprocess.run([BENCH, *command.split()[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert table[1].strip() == done.stdout.strip()


def test_it_fits_on_two_screens() -> None:
    assert len(README.splitlines()) < 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_of_a_page_exists(page: str) -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_the_committed_leaderboard_is_what_the_committed_submissions_give(tmp_path: Path) -> None:
    """Without the records of runs in this checkout, which are not committed."""
    shutil.copytree(ROOT / "results" / "submissions", tmp_path / "submissions")
    for name in ("leaderboard.md", "index.html", "leaderboard.csv", "cells.csv"):
        shutil.copy(ROOT / "results" / name, tmp_path)
    done = subprocess.run(
        [BENCH, "leaderboard", "--check", "--output", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_committed_submissions_are_sound() -> None:
    folders = [path for path in (ROOT / "results" / "submissions").iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        done = subprocess.run([BENCH, "validate", folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
