"""The cells of the table: the numbers of the columns, coloured by what tests say."""

from made_boards import board_of

from emsym.leaderboard.render.row_texts import table_heads, table_rows, tier_words
from emsym.run.store.record import Cost
from emsym.wording import bounds, number


def test_few_heads_stand_before_the_switch(records) -> None:
    heads = table_heads(board_of(records))
    first = [head.title for head in heads if not head.more]
    assert first == ["saliency", "flip error", "Dice − rgb"]
    assert [head.label for head in heads][:2] == ["bias: saliency", "bias: flip error"]
    rest = [head.title for head in heads if head.more]
    assert rest[:2] == ["rank", "% less than rgb"]
    assert {"Dice", "IoU", "average rank", "cells"} <= set(rest)


def test_costs_have_columns_where_they_are_known(records) -> None:
    cost = Cost(parameters=9, passes=1, step_ms=3.0, answer_ms=2.0)
    heads = table_heads(board_of([r.model_copy(update={"cost": cost}) for r in records]))
    assert [head.title for head in heads if head.group == "cost"] == [
        "training step, ×",
        "answer, ×",
    ]


def test_cells_are_those_of_the_columns(records) -> None:
    board = board_of(records)
    heads = table_heads(board)
    rows = {row["name"]: row for row in table_rows(board, heads)}
    lead = board.lead.summary.loc["rgb"]
    cell = rows["rgb"]["cells"][0]
    assert cell["text"] == number(lead["mean"], 3)
    assert cell["within"] == bounds(lead["low"], lead["high"], 3)
    assert rows["uniform-green"]["word"] == "less biased by saliency"
    assert rows["rgb"]["word"] == tier_words(board)["baseline"]
    less = rows["uniform-green"]["cells"][2]
    assert less["note"] == board.verdict["uniform-green"] == "non-inferior"
    assert less["tone"] == "good"
    assert rows["rgb"]["cells"][2]["text"] == "–"
    assert rows["uniform-green"]["cells"][-1]["text"] == "2 of 2"


def test_bars_of_one_measure_share_a_scale(records) -> None:
    board = board_of(records)
    bars = [row["cells"][1]["bar"] for row in table_rows(board, table_heads(board))]
    values = board.columns["flip_error"].summary["mean"]
    ratio = values["uniform-green"] / values["rgb"]
    assert abs(bars[0]["mean"] / bars[1]["mean"] - ratio) < 0.02
    assert max(bar["high"] for bar in bars) == 100


def test_without_a_baseline_scores_stand_alone(records) -> None:
    board = board_of([record for record in records if record.init != "rgb"])
    heads = table_heads(board)
    assert [head.title for head in heads if not head.more] == ["model asymmetry", "Dice"]
    (row,) = table_rows(board, heads)
    assert row["word"] == ""
