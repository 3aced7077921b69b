"""`submit`, `validate` and `verify` as an author and a maintainer meet them: real processes."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.submit import submit
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.submission.validate import validate

BENCH = Path(sys.executable).with_name("emsym-bench")
PLUGIN = """
from pathlib import Path
from emsym import register_init

Path("plugin-was-run").touch()

@register_init("all-blue")
def all_blue(rgb, slices):
    \"\"\"Blue in every slice.\"\"\"
    return rgb[:, 2:].repeat(1, slices, 1, 1)
"""


def bench(*words: object, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        [BENCH, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, tiny_files: dict[str, bytes]) -> Path:
    """A folder where an author has run the protocol with a strategy of a plug-in."""
    folder = tmp_path_factory.mktemp("author")
    for name, content in tiny_files.items():
        (folder / name).write_bytes(content)
    with (folder / "tiny.toml").open("a") as file:
        file.write('\n[tolerance.cpu]\n"*" = 1e-5\n')
    (folder / "blue.py").write_text(PLUGIN)
    words = ("--protocol", "tiny.toml", "--plugin", "blue.py", "--init", "all-blue")
    bench("run", *words, cwd=folder)
    return folder


def fill_sheet(sheet: Path) -> None:
    text = sheet.read_text()
    for key, value in {
        "title": '"All blue"',
        "authors": '["A. Author"]',
        "contact": '"us@example.org"',
        "code": '"https://example.org/blue"',
    }.items():
        text = re.sub(rf'(?m)^{key} = (""|\[""\])', f"{key} = {value}", text)
    sheet.write_text(text)


@pytest.mark.slow
def test_an_author_submits_and_a_maintainer_verifies(ours: Path) -> None:
    protocol = ("--protocol", "tiny.toml")
    path = Path("results") / "submissions" / "all-blue"
    (ours / "plugin-was-run").unlink(missing_ok=True)
    said = bench("submit", "--name", "all-blue", *protocol, "--plugin", "blue.py", cwd=ours)
    assert f"emsym-bench validate {path} --protocol tiny.toml" in said
    assert "'title'" in bench("validate", path, *protocol, cwd=ours, code=2)
    fill_sheet(ours / path / "submission.toml")
    said = bench("validate", path, *protocol, cwd=ours)
    assert "all-blue is sound: tiny, version 1; cells: 2 done, 0 failed, 0 missing" in said
    assert "from the values of 6 sections" in said
    assert "note: blue.py is code of the authors, and was not run" in said
    said = bench("verify", path, "--sample", 1, *protocol, cwd=ours, code=2)
    assert "needs code of its authors: read it, and give it with --plugin" in said
    assert not (ours / "plugin-was-run").exists(), "nothing of theirs is run unasked"
    words = ("--sample", 1, *protocol, "--plugin", path / "plugins" / "blue.py")
    said = bench("verify", path, *words, cwd=ours)
    assert "1 of 1 cell that was run again is as claimed." in said
    assert "every score is exactly as claimed" in said


@pytest.mark.slow
def test_claims_that_are_made_up_are_found_out_by_running_again(ours: Path) -> None:
    """ARAND of the volume is the one score that no value of a section betrays."""
    bench("submit", "--name", "forged", "--protocol", "tiny.toml", cwd=ours)
    path = ours / "results" / "submissions" / "forged"
    fill_sheet(path / "submission.toml")
    head, *rows = (path / "cells.csv").read_text().splitlines()
    at = head.split(",").index("arand_3d")
    forged = [row.split(",") for row in rows]
    for row in forged:
        row[at] = "0.01"
    (path / "cells.csv").write_text("\n".join([head, *map(",".join, forged)]) + "\n")
    bench("validate", path, "--protocol", "tiny.toml", cwd=ours)
    words = ("--sample", 1, "--protocol", "tiny.toml", "--plugin", "blue.py")
    said = bench("verify", path, *words, cwd=ours, code=1)
    assert "arand_3d is 0." in said
    assert "0 of 1 cell that was run again is as claimed." in said


def test_each_variant_of_a_protocol_becomes_a_submission(
    tiny: Path,
    keep: Callable,
    made_up: Callable,
    fill_in: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.write_text(f'{tiny.read_text()}\n[vary]\n"recipe.learning_rate" = [1e-3, 0.1]\n')
    for job in jobs(load_protocol(str(tiny))):
        keep(tiny.parent / "run", made_up(job))
    monkeypatch.chdir(tiny.parent)
    words = ["--name", "ours", "--protocol", "tiny.toml", "--output", "run"]
    done = CliRunner().invoke(submit, words, catch_exceptions=False)
    assert done.output.count("--protocol tiny.toml") == 2
    names = [f"results/submissions/ours-tiny-{rate}" for rate in ("0-001", "0-1")]
    assert f"\n  git add {' '.join(names)}\n" in done.output
    assert "does not ship with emsym" in done.output
    folder = tiny.parent / "results" / "submissions" / "ours-tiny-0-1"
    fill_in(folder)
    report = validate(folder, "tiny.toml")
    assert report.protocol.recipe.learning_rate == 0.1
    assert report.counts["done"] == 4


def test_what_to_commit_and_how_is_printed(
    tmp_path: Path, keep: Callable, made_up: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path / "run", made_up(jobs(load_protocol("quick"))[0]))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(submit, ["--name", "ours", "--output", "run"], catch_exceptions=False)
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    settings = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    settings |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    commands = [line.strip() for line in done.output.splitlines() if line.startswith("  git")]
    *local, push = commands
    for command in local:
        subprocess.run(command, shell=True, check=True, capture_output=True)
    told = subprocess.run(
        ["git", "log", "--name-only", "--format=%D %s"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told[:5] == ["HEAD", "->", "submit-ours", "Submit", "ours"]
    assert {Path(name).parts[:3] for name in told[5:]} == {("results", "submissions", "ours")}
    assert push == "git push --set-upstream origin submit-ours"
    assert "pull request" in done.output
    assert "does not ship" not in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submit",), "--name"),
        (("submit", "--name", "../evil"), "cannot be called '../evil'"),
        (("submit", "--name", "ours", "--output", "none"), "no finished records"),
        (("submit", "--name", "ours", "--protocol", "quik"), "did you mean 'quick'"),
        (("submit", "--name", "ours", "--plugin", "none.py"), "does not exist"),
        (("validate",), "PATH"),
        (("validate", "none"), "is not a submission"),
        (("verify", "none"), "--sample"),
        (("verify", "none", "--sample", 0), "--sample"),
        (("verify", "none", "--sample", 1), "is not a submission"),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_code_2(
    tmp_path: Path, words: tuple, said: str
) -> None:
    assert said in bench(*words, cwd=tmp_path, code=2)
    assert not list(tmp_path.iterdir())
