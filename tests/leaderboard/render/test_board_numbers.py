"""The numbers that the script gets are those of the tables."""

import base64
import json

import numpy as np
import pytest
from made_boards import board_of

from emsym.leaderboard.costs import cost_table
from emsym.leaderboard.estimates import own
from emsym.leaderboard.render.board_numbers import board_numbers
from emsym.run.store.record import Cost


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_they_are_json_and_variances_keep_six_digits(records) -> None:
    board = board_of(records)
    numbers = json.loads(json.dumps(board_numbers(board), allow_nan=False))
    assert numbers["names"] == board.names
    assert numbers["baseline"] == board.names.index("rgb")
    first = numbers["scores"][0]
    expected = own(board.lead.estimates.take(board.pairs, board.names).of_seeds[0])
    assert np.allclose(floats(first["seeds"][0]["own"]), expected, rtol=1e-6)
    assert first["term"] == "model asymmetry by saliency"


def test_costs_make_the_table_again(records) -> None:
    noise = np.random.default_rng(0)
    made = [
        record.model_copy(
            update={"cost": Cost(parameters=9, passes=1, step_ms=step, answer_ms=2 * step)}
        )
        for record, step in zip(records, noise.uniform(8, 12, len(records)), strict=True)
    ]
    board = board_of(made)
    (row,) = [r for r in board_numbers(board)["costs"] if r[1] == board.names.index("rgb")]
    assert row[2:] == [2, 0, 0, 0, 0], "two couples with itself"
    (row,) = [r for r in board_numbers(board)["costs"] if r[1] != board.names.index("rgb")]
    assert np.exp(row[3]) == pytest.approx(cost_table(board).loc["uniform-green", "step_ms"])


def test_where_no_cost_is_known_there_is_none(records) -> None:
    assert board_numbers(board_of(records))["costs"] == []
