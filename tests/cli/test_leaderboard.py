import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from emsym.cli.leaderboard import leaderboard
from emsym.output_folder import OutputFolder


def call(*words: object) -> Result:
    options = {"standalone_mode": False, "catch_exceptions": False}
    return CliRunner().invoke(leaderboard, [*map(str, words)], **options)


@pytest.mark.slow
def test_it_is_written_and_printed_and_checked(store: Path) -> None:
    folder = OutputFolder(store)
    done = call("--output", store)
    assert done.return_value == 0
    assert "uniform-green" in done.output
    assert f"Records: {folder.records}" in done.output
    assert f"Leaderboard: {folder.markdown} and {folder.page}" in done.output
    checked = call("--output", store, "--check")
    assert checked.return_value == 0
    assert checked.output == f"The leaderboard in {store} is what the records give.\n"
    folder.markdown.write_text("mine")
    done = call("--output", store, "--check")
    assert done.return_value == 1
    assert f"{folder.markdown.name} in {store}: not what the records give" in done.output
    assert folder.markdown.read_text() == "mine"


@pytest.mark.slow
def test_json_is_all_of_standard_output(store: Path) -> None:
    folder = OutputFolder(store)
    told = json.loads(call("--output", store, "--json").stdout)
    assert Path(told["files"]["page"]) == folder.page
    assert folder.page.is_file()
    (board,) = told["boards"]
    assert {each["name"] for each in board["strategies"]} == {"rgb", "uniform-green"}
    assert json.loads(call("--output", store, "--check", "--json").stdout)["outdated"] == []
    folder.markdown.write_text("mine")
    done = call("--output", store, "--check", "--json")
    assert done.return_value == 1
    assert json.loads(done.stdout)["outdated"] == [folder.markdown.name]


def test_cells_are_written_as_records_of_every_eval_ever_and_nothing_else(
    store: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "exported"
    before = sorted(store.rglob("*"))
    done = call("--output", store, "--every-eval-ever", exported)
    assert done.return_value == 0
    files = sorted(exported.rglob("*.json"))
    assert done.output == f"Wrote {len(files)} records of Every Eval Ever into {exported}.\n"
    told = json.loads(call("--output", store, "--every-eval-ever", exported, "--json").stdout)
    assert sorted(map(Path, told["files"])) == files
    assert [path for path in sorted(store.rglob("*")) if exported not in (path, *path.parents)] == (
        before
    )


def test_what_writes_nothing_writes_no_records(store: Path, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="--check writes nothing"):
        call("--output", store, "--check", "--every-eval-ever", tmp_path / "exported")
