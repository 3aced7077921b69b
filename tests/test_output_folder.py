from pathlib import Path

from emsym.output_folder import OutputFolder


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
