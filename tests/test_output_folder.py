from pathlib import Path

from emsym.output_folder import COMMITTED, DEFAULT, OutputFolder


def test_everything_lies_in_the_folder_by_names_that_stay() -> None:
    folder = OutputFolder(Path("out"))
    paths = [folder.records, folder.submissions, folder.network("k"), folder.example("k")]
    assert [path.as_posix() for path in paths] == [
        "out/records",
        "out/submissions",
        "out/networks/k.pt",
        "out/examples/k.npz",
    ]
    names = ["leaderboard.md", "index.html", "leaderboard.csv", "cells.csv"]
    assert [path.name for path in folder.texts] == names


def test_in_a_clone_the_default_folder_shows_the_committed_submissions(tmp_path: Path) -> None:
    default = OutputFolder(tmp_path / DEFAULT)
    assert default.submissions == tmp_path / DEFAULT / "submissions", "this is no clone"
    committed = tmp_path / COMMITTED / "submissions"
    committed.mkdir(parents=True)
    assert default.submissions == committed
    assert OutputFolder(tmp_path / "mine").submissions == tmp_path / "mine" / "submissions"
    (tmp_path / DEFAULT / "submissions").mkdir(parents=True)
    assert default.submissions == tmp_path / DEFAULT / "submissions", "of its own"


def test_git_ignores_what_the_default_folder_holds() -> None:
    ignored = (Path(__file__).parents[1] / ".gitignore").read_text().splitlines()
    assert f"/{DEFAULT}/" in ignored
    assert f"/{COMMITTED}/" not in ignored
