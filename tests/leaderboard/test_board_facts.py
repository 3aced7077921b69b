import json

import pytest
from made_boards import board_of
from pydantic_core import to_json

from emsym.leaderboard.board_facts import board_facts
from emsym.run.store.record import Record


def test_facts_are_those_of_the_board_and_fit_into_json(records: list[Record]) -> None:
    board = board_of(records)
    facts = json.loads(to_json(board_facts(board), inf_nan_mode="null"))
    assert (facts["done"], facts["failed"], facts["baseline"]) == (len(records), 0, "rgb")
    assert [each["name"] for each in facts["strategies"]] == board.order
    rows = {each["name"]: each for each in facts["strategies"]}
    lead = facts["scores"][0]["key"]
    for name in board.ranked:
        told = rows[name]["scores"][lead]
        assert told["mean"] == pytest.approx(board.lead.summary.loc[name, "mean"])
        assert told["first"] <= told["last"]
    apart = rows["uniform-green"]["scores"][lead]
    less = apart["mean"] - rows["rgb"]["scores"][lead]["mean"]
    assert apart["from_baseline"]["difference"] == pytest.approx(less)
    assert rows["rgb"]["scores"][lead]["from_baseline"]["difference"] is None
    assert facts["conclusions"]
