"""Tiers come from tests against the baseline, and none where nothing is tested."""

import numpy as np
from made_boards import board_of

from emsym.leaderboard.estimates import estimate_means
from emsym.leaderboard.statistics import holm
from emsym.leaderboard.tiers import (
    column_tiers,
    in_tiers,
    mean_of_data_sets,
    tiers,
    tiers_of_data_sets,
)

MEANS = {"rgb": 0.0, "less": -4.0, "same": 0.0, "more": 4.0}


def test_what_is_far_from_the_baseline_is_told_apart(simulate) -> None:
    cells, _ = simulate(
        np.random.default_rng(0), MEANS, sets=2, seeds=6, noise_sd=0.2, seed_sd=0.3, section_sd=0.2
    )
    estimates = estimate_means(cells)
    low = tiers(estimates, "rgb", "low")
    assert low == {"less": "better", "same": "open", "more": "worse"}
    high = tiers(estimates, "rgb", "high")
    assert high == {"less": "worse", "same": "open", "more": "better"}


def test_one_seed_tells_nothing_apart(simulate) -> None:
    cells, _ = simulate(np.random.default_rng(0), MEANS, seeds=1)
    assert set(tiers(estimate_means(cells), "rgb", "low").values()) == {"open"}


def test_they_are_those_of_the_columns_own_p(records) -> None:
    board = board_of(records)
    found = column_tiers(board, board.lead)
    row = board.lead.summary.loc["uniform-green"]
    assert (found["uniform-green"] == "better") == (row["p_holm"] < 0.05)
    assert holm(board.lead.summary["p"]).equals(board.lead.summary["p_holm"].rename("p"))


def test_each_data_set_is_tested_by_itself(records, easy) -> None:
    board = board_of(records)
    assert list(tiers_of_data_sets(board, board.lead)) == ["tiny-a"]
    means = mean_of_data_sets(board.lead, board)
    assert means.loc["rgb", "tiny-a"] == board.lead.summary.loc["rgb", "mean"]


def test_tiers_stand_in_order_and_those_that_are_not_ranked_last(records, easy) -> None:
    assert in_tiers(board_of(records)) == ["uniform-green", "rgb"]
    alone = board_of([each for each in records if each.init == "rgb"])
    assert in_tiers(alone) == ["rgb"]


def test_without_a_baseline_there_are_none(records) -> None:
    board = board_of([each for each in records if each.init != "rgb"])
    assert column_tiers(board, board.lead) == {}
    assert tiers_of_data_sets(board, board.lead) == {}
