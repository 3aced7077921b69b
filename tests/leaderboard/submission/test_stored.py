"""A folder of results: submissions and the records of local runs stand on one leaderboard."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from emsym.errors import UserError
from emsym.leaderboard.board import boards
from emsym.leaderboard.publish import is_current, write
from emsym.leaderboard.results import of_store
from emsym.leaderboard.stored import Stored, examples
from emsym.protocol import Protocol
from emsym.run.plan import jobs


@pytest.fixture
def output(submission: Path) -> Path:
    """A folder with one submission and no records."""
    return submission.parents[1]


def test_a_submission_alone_gives_the_leaderboard_of_its_records(output: Path, store: Path) -> None:
    theirs, ours = Stored(output).results, of_store(store / "records")
    (board,), (reference,) = boards(theirs, draws=500), boards(ours, draws=500)
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
    (board,) = boards(Stored(output).results, draws=100)
    assert set(board.done["submission"]) == {"local"}
    assert len(board.done) == len(jobs(protocol))
    assert set(board.apart["submission"]) == {"ours-1"}
    assert board.apart["cells"].sum() == len(board.done)
    assert board.apart["reason"].str.contains("the same cells as in local").all()


def test_examples_come_from_either_and_reach_the_page(output: Path, store: Path) -> None:
    stored = Stored(output)
    (board,) = boards(stored.results, draws=100)
    shown = examples(board, stored.example)
    assert [each.caption.partition(" on ")[0] for each in shown] == ["rgb", "uniform-green"]
    names = ["z−1", "z", "z+1", "label", "probability", "|A| z−1", "|A| z", "|A| z+1"]
    assert list(shown[0].pictures) == names
    assert all(0 <= each.min() <= each.max() <= 1 for each in shown[0].pictures.values())
    shutil.copytree(store / "examples", output / "examples")
    shutil.rmtree(output / "submissions")
    shutil.copytree(store / "records", output / "records")
    local = Stored(output)
    assert [e.caption for e in examples(board, local.example)] == [e.caption for e in shown]
    write(local.results, output, local.example)
    page = (output / "index.html").read_text()
    assert page.count('<figure class="example">') == 2
    assert is_current(local.results, output)


def test_nothing_finished_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished records in .* and no submissions in"):
        Stored(tmp_path)
