"""Which cells of a leaderboard count, and what they come to."""

import re

import pytest
from made_boards import board_of

from emsym.run.store.record import Record


def test_shares_are_over_the_cells_that_count_alone(records: list[Record]) -> None:
    """Seed 1 of `uniform-green`, which `rgb` lacks, has other shares, and moves nothing."""
    prefix = "saliency/true-foreground/slice_share"
    other = {f"{prefix}[-1]": 1.0, f"{prefix}[+0]": 0.0, f"{prefix}[+1]": 0.0}
    assert (records[3].init, records[3].seed) == ("uniform-green", 1)
    records[3] = records[3].model_copy(update={"scores": records[3].scores | other})
    board = board_of([records[0], records[1], records[3]])
    assert board.share_means(board.shared).loc["uniform-green"].tolist() == pytest.approx(
        [1 / 3] * 3
    )


def test_strategies_are_in_the_order_of_the_first_score(records: list[Record]) -> None:
    board = board_of(records)
    assert board.order == ["uniform-green", "rgb"]
    means = board.lead.summary["mean"]
    assert means["rgb"] == pytest.approx(0.5)  # the sign of a seed's asymmetry does not cancel


def test_an_incomplete_strategy_has_fewer_cells_than_are_needed(records: list[Record]) -> None:
    third = records[0].model_copy(update={"init": "mine", "key": "0" * 32})
    board = board_of([*records, third])
    assert (board.has["mine"], board.has["rgb"], board.needed) == (1, 2, 2)
    assert "mine" not in board.ranked


def test_a_missing_cell_is_never_imputed(records: list[Record]) -> None:
    """`rgb` lacks seed 1 of what `uniform-green` has: seed 0 alone is compared."""
    board = board_of(records[:3])
    assert board.entered.sum().sum() == 2
    assert board.columns["dice@0.5"].summary.loc["uniform-green", "mean"] == pytest.approx(
        records[1].scores["dice@0.5"]
    )
    assert board.lead.summary[["first", "last"]].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_a_data_set_that_one_strategy_lacks_ranks_nobody(
    records: list[Record], easy: list[Record]
) -> None:
    board = board_of([*records, *easy])
    assert board.shared == [("tiny-a", "linknet-tu-test_efficientnet")]
    assert len(board.pairs) == 2
    assert board.columns["dice@0.5"].summary.loc["rgb", "mean"] == pytest.approx(0.895, abs=1e-3)


def test_a_column_is_found_by_the_name_of_its_score(records: list[Record]) -> None:
    board = board_of(records)
    dice = board.column("dice")
    assert dice is not None
    assert dice.key == "dice@0.5"
    (mean, low, high) = dice.of_pair(board.pairs[0], ["rgb"])[0]
    assert mean == pytest.approx(0.895, abs=1e-3)
    assert low <= mean <= high
    assert board.column("no-such-score") is None


def test_names_of_pictures_tell_protocols_apart(records: list[Record]) -> None:
    stamp = records[0].protocol.model_copy(update={"digest": "0" * 64})
    other = [record.model_copy(update={"protocol": stamp}) for record in records]
    stems = {board_of(each).stem for each in (records, records, other)}
    assert len(stems) == 2
    assert all(re.fullmatch(r"tiny-1-[0-9a-f]{8}", stem) for stem in stems)
