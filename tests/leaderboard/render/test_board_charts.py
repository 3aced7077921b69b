"""Marks, bars and cells of the charts lie where their numbers are."""

import pandas as pd
import pytest
from made_boards import board_of

from emsym.leaderboard.board import boards
from emsym.leaderboard.render.board_charts import LEVELS, heat_map, pareto_chart, share_bars
from emsym.leaderboard.results import of_records


def test_sides_that_count_alike_reach_as_far() -> None:
    bars = share_bars(pd.DataFrame([[0.4, 0.4, 0.2], [0.3, 0.4, 0.3]], ["rgb", "even"]))
    (before, centre, after) = bars["even"]
    assert before["x"] == pytest.approx(1000 - after["x"] - after["width"], abs=0.2)
    assert centre["x"] + centre["width"] / 2 == pytest.approx(500, abs=0.1)
    assert bars["rgb"][0]["x"] == 0
    assert bars["rgb"][0]["width"] == pytest.approx(2 * bars["rgb"][2]["width"], abs=0.1)
    assert [bar["text"] for bar in bars["rgb"]] == ["0.40", "0.40", "0.20"]


def two_sets(records):
    """Return the same cells on a second data set, half as biased."""
    key = "saliency/true-foreground/model_asymmetry"
    more = []
    for record in records:
        stamp = record.dataset.model_copy(update={"name": "tiny-b"})
        scores = {**record.scores, key: record.scores[key] / 2}
        changes = {"dataset": stamp, "scores": scores, "key": record.key[::-1]}
        more.append(record.model_copy(update=changes))
    return [*records, *more]


def test_the_darkest_cell_is_the_most_biased(records) -> None:
    (board,) = boards(of_records(two_sets(records)))
    heat = heat_map(board)
    assert heat is not None
    rows = {row["name"]: row["cells"] for row in heat["rows"]}
    assert heat["sets"] == ["tiny-a", "tiny-b"]
    assert [cell["level"] for cell in rows["rgb"]] == [LEVELS, round(LEVELS / 2)]
    assert [cell["level"] for cell in rows["uniform-green"]] == [0, 0]
    assert heat["measures"][0][1] == "model asymmetry by saliency"


def test_one_data_set_needs_no_heat_map(records) -> None:
    assert heat_map(board_of(records)) is None


def test_marks_tell_their_numbers_and_the_front(records) -> None:
    chart = pareto_chart(board_of(records))
    assert chart is not None
    marks = {mark["name"]: mark for mark in chart["marks"]}
    assert marks["uniform-green"]["x"] < marks["rgb"]["x"]
    assert marks["uniform-green"]["text"].startswith(
        "uniform-green: model asymmetry by saliency 0.000 (0.000–0.000), Dice 0.8"
    )
    assert any(mark["front"] for mark in marks.values())
