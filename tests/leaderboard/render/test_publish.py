"""The leaderboard's files, and whether they are those of the records."""

import re
from pathlib import Path

from emsym.leaderboard.render.publish import outdated, write_leaderboard
from emsym.leaderboard.results import of_records
from emsym.run.store.record import Record


def test_all_files_are_written(records: list[Record], tmp_path: Path) -> None:
    results = of_records(records)
    assert outdated(results, tmp_path / "out")
    paths = write_leaderboard(results, tmp_path / "out")
    names = ["leaderboard.md", "index.html", "leaderboard.csv", "cells.csv"]
    assert [path.name for path in paths] == names
    assert all(path.read_text() for path in paths)
    assert not outdated(results, tmp_path / "out")
    for picture in re.findall(r"\]\((.*png)\)", paths[0].read_text()):
        assert (tmp_path / "out" / picture).read_bytes().startswith(b"\x89PNG")
    moved = [r.model_copy(update={"scores": {**r.scores, "arand_2d": 0.2}}) for r in records]
    assert "leaderboard.md" in outdated(of_records(moved), tmp_path / "out")


def test_stacks_of_one_slice_have_a_leaderboard_without_asymmetry(
    records: list[Record], tmp_path: Path
) -> None:
    def single(record: Record) -> Record:
        scores = {name: v for name, v in record.scores.items() if "asymmetry" not in name}
        missing = {
            f"saliency/true-foreground/{kind}_asymmetry": None for kind in ("neighbour", "model")
        }
        return record.model_copy(update={"slices": 1, "scores": {**scores, **missing}})

    write_leaderboard(of_records([single(record) for record in records]), tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    assert "`rgb`" in text
    assert "model asym. ↓" not in text


def test_networks_without_any_share_have_a_leaderboard(
    records: list[Record], tmp_path: Path
) -> None:
    def empty(record: Record) -> Record:
        missing = {name: None for name in record.scores if "/" in name}
        return record.model_copy(update={"scores": {**record.scores, **missing}})

    write_leaderboard(of_records([empty(record) for record in records]), tmp_path)
    assert "`rgb`" in (tmp_path / "leaderboard.md").read_text()
