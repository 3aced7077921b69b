"""A folder of results: submissions and the records of local runs stand on one leaderboard."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from emsym.errors import UserError
from emsym.leaderboard.board import boards
from emsym.leaderboard.collection import StoredResults, examples
from emsym.leaderboard.render.publish import outdated, write_leaderboard
from emsym.leaderboard.results import of_store
from emsym.protocol import Protocol
from emsym.run.job import jobs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:.*does not ship with emsym")


@pytest.fixture
def output(submission: Path) -> Path:
    """A folder with one submission and no records."""
    return submission.parents[1]


def test_a_submission_alone_gives_the_leaderboard_of_its_records(output: Path, store: Path) -> None:
    theirs, ours = StoredResults(output).results, of_store(store / "records")
    (board,), (reference,) = boards(theirs), boards(ours)
    assert board.order == reference.order
    for key, column in reference.columns.items():
        found = board.columns[key].summary[["mean", "low", "high"]]
        assert np.allclose(found, column.summary[["mean", "low", "high"]], atol=1e-5)
    assert board.headline == reference.headline
    assert board.shares == reference.shares
    assert set(theirs.cells["submission"]) == {"ours-1"}


def test_of_a_cell_that_is_there_twice_the_local_one_counts(
    output: Path, store: Path, protocol: Protocol
) -> None:
    shutil.copytree(store / "records", output / "records")
    (board,) = boards(StoredResults(output).results)
    assert set(board.done["submission"]) == {"local"}
    assert len(board.done) == len(jobs(protocol))
    assert set(board.apart["submission"]) == {"ours-1"}
    assert board.apart["cells"].sum() == len(board.done)
    assert board.apart["reason"].str.contains("the same cells as in local").all()


@pytest.mark.slow
def test_examples_come_from_either_and_reach_the_page(output: Path, store: Path) -> None:
    stored = StoredResults(output)
    (board,) = boards(stored.results)
    shown = examples(board, stored.example)
    (section,) = shown
    assert "synthetic" in section.caption, "lest it be taken for a micrograph"
    assert list(section.pictures) == ["z−1", "z", "z+1", "label"]
    assert list(section.answers) == ["rgb", "uniform-green"]
    answer = section.answers["rgb"]
    assert list(answer) == ["probability", "|A| z−1", "|A| z", "|A| z+1"]
    pictures = [*section.pictures.values(), *answer.values()]
    assert all(0 <= each.min() <= each.max() <= 1 for each in pictures)
    shutil.copytree(store / "examples", output / "examples")
    shutil.rmtree(output / "submissions")
    shutil.copytree(store / "records", output / "records")
    local = StoredResults(output)
    assert [e.caption for e in examples(board, local.example)] == [e.caption for e in shown]
    write_leaderboard(local.results, output, local.example)
    page = (output / "index.html").read_text()
    assert page.count('<figure class="example">') == 1
    assert not outdated(local.results, output, local.example)
    (output / "cells.csv").write_text("")
    assert outdated(local.results, output, local.example) == ["cells.csv"]
    for path in (output / "examples").glob("*.npz"):
        with np.load(path) as kept:
            np.savez_compressed(path, **{**kept, "may_be_shown": np.array(0, np.uint8)})
    assert not examples(board, local.example), "a page is public"


def test_a_submission_that_claims_other_scores_stops_the_leaderboard(output: Path) -> None:
    """Of a protocol that ships it is validated; the tests' own is only warned of."""
    with pytest.warns(UserWarning, match="does not ship with emsym"):
        StoredResults(output)
    shutil.copytree(ROOT / "results" / "submissions" / "emsym", output / "submissions" / "emsym")
    path = output / "submissions" / "emsym" / "cells.csv"
    head, first, *rest = path.read_text().splitlines()
    at = head.split(",").index("saliency/true-foreground/model_asymmetry")
    values = first.split(",")
    values[at] = "0.0"
    path.write_text("\n".join([head, ",".join(values), *rest]) + "\n")
    with pytest.raises(UserError, match="claims 0 as its saliency/true-foreground/model_asymmetry"):
        StoredResults(output)


def test_the_cells_that_ship_count_whatever_another_submission_is_called(tmp_path: Path) -> None:
    theirs = tmp_path / "submissions"
    shutil.copytree(ROOT / "results" / "submissions" / "emsym", theirs / "emsym")
    shutil.copytree(theirs / "emsym", theirs / "aaa")
    stored = StoredResults(tmp_path)
    (board,) = boards(stored.results)
    assert set(board.done["submission"]) == {"emsym"}
    assert set(board.apart["submission"]) == {"aaa"}
    assert stored.assurance == {"emsym": "recomputed", "aaa": "recomputed"}


def test_who_submitted_stands_on_every_page(output: Path) -> None:
    stored = StoredResults(output)
    write_leaderboard(stored.results, output, stored.example, stored.credits)
    sheet = stored.submissions[0].sheet
    for name in ("leaderboard.md", "index.html"):
        text = (output / name).read_text()
        assert sheet.title in text
        assert sheet.licence in text
        assert "assurance: self-attested" in text, "its protocol does not ship"


def test_pictures_of_what_is_gone_are_removed_and_others_left(output: Path, store: Path) -> None:
    (output / "audit.png").touch()
    (output / "mine-1-0123abcd.png").touch()
    write_leaderboard(StoredResults(output).results, output)
    (before,) = output.glob("tiny-*.png")
    shutil.rmtree(output / "submissions")
    shutil.copytree(store / "records", output / "records")
    for path in (output / "records").iterdir():
        text = path.read_text()
        digest = re.search(r'"protocol":\s*\{[^}]*"digest":\s*"(\w+)"', text)
        assert digest is not None
        path.write_text(text.replace(digest[1], "f" * 64))
    write_leaderboard(StoredResults(output).results, output)
    (after,) = output.glob("tiny-*.png")
    assert before != after
    assert (output / "audit.png").exists()
    assert (output / "mine-1-0123abcd.png").exists()


def test_nothing_finished_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished records in .* and no submissions in"):
        StoredResults(tmp_path)
