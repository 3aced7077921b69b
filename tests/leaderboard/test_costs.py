"""Costs are compared with the baseline's within couples of cells of one machine."""

import numpy as np
import pytest

from emsym.leaderboard.board import boards
from emsym.leaderboard.costs import cost_table
from emsym.leaderboard.render.sentences import cost_columns
from emsym.leaderboard.results import of_records
from emsym.run.store.record import Cost


def with_cost(record, step, answer, passes=1, processor="one"):
    cost = Cost(parameters=1000, passes=passes, step_ms=step, answer_ms=answer)
    machine = {**record.environment, "device": "cpu", "processor": processor}
    return record.model_copy(update={"cost": cost, "environment": machine})


@pytest.fixture
def cells(records):
    """Two seeds of the baseline and of a strategy that takes twice the time of an answer."""
    made = []
    for record in records:
        speed = (1.0, 4.0)[record.seed]  # the machine was busy with other work, too
        slow = record.init != "rgb"
        made.append(with_cost(record, 10 * speed, (4 + 4 * slow) * speed, passes=1 + slow))
    return made


def test_ratios_are_within_couples(cells):
    (board,) = boards(of_records(cells))
    table = cost_table(board)
    row = table.loc["uniform-green"]
    assert row[["step_ms", "answer_ms", "parameters", "passes"]].tolist() == pytest.approx(
        [1, 2, 1, 2]
    )
    assert row["answer_ms_low"] == pytest.approx(2)
    assert table.loc["rgb", "answer_ms"] == 1
    heads = [head for head, _ in cost_columns(board)]
    assert heads == ["cost beside rgb", "training step, ×", "answer, ×", "parameters, ×", "passes"]


def test_another_machine_makes_no_couple(cells):
    elsewhere = [
        with_cost(each, 1, 1, processor="other") if each.seed and each.init != "rgb" else each
        for each in cells
    ]
    (board,) = boards(of_records(elsewhere))
    row = cost_table(board).loc["uniform-green"]
    assert row["answer_ms"] == pytest.approx(2)
    assert np.isnan(row["answer_ms_low"]), "of one couple there is no interval"


def test_cells_from_before_costs_were_measured_have_none(cells):
    (board,) = boards(of_records([each.model_copy(update={"cost": None}) for each in cells]))
    assert cost_columns(board) == []
