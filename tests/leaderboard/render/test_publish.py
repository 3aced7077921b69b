"""The leaderboard's files, and whether they are those of the records."""

import re
from pathlib import Path

import numpy as np

from emsym.leaderboard.render.publish import EXAMPLES, outdated, write_leaderboard
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


def test_a_folder_moved_away_from_the_documents_is_still_what_the_records_give(
    records: list[Record], tmp_path: Path
) -> None:
    results = of_records(records)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Documents\n")
    write_leaderboard(results, tmp_path / "results")
    assert 'href="../docs/index.md"' in (tmp_path / "results" / "index.html").read_text()
    (tmp_path / "results").rename(tmp_path / "alone")
    (tmp_path / "docs").rename(tmp_path / "alone" / "docs")
    assert not outdated(results, tmp_path / "alone")


def test_of_many_leaderboards_the_first_show_sections(
    records: list[Record], tmp_path: Path
) -> None:
    def of(number: int, record: Record) -> Record:
        stamp = record.protocol.model_copy(update={"name": f"protocol-{number}"})
        return record.model_copy(update={"protocol": stamp, "key": f"{number}-{record.key}"})

    kept = {
        "image": np.zeros((3, 8, 8), np.uint8),
        "truth": np.zeros((8, 8), np.uint8),
        "probability": np.zeros((8, 8), np.uint8),
        "attribution": np.ones((3, 8, 8), np.uint8),
        "section": np.array(5, np.int32),
    }
    four = of_records([of(number, record) for number in range(4) for record in records])
    write_leaderboard(four, tmp_path, lambda key: kept)
    captions = re.findall("<figcaption>.*, section 5<", (tmp_path / "index.html").read_text())
    assert len(captions) == EXAMPLES < 4


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
