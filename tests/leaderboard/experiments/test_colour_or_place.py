import pytest
from made_boards import board_of
from made_experiments import LEAN, SALIENCY, six_orders

from emsym.leaderboard.experiments.colour_or_place import (
    ASYMMETRY,
    ORDERS,
    colour_or_place,
    effects,
)
from emsym.leaderboard.intervals import intervals
from emsym.run.store.record import Record


def test_effects_that_were_put_in_are_found(records: list[Record]) -> None:
    table = intervals(effects(board_of(six_orders(records[0])), SALIENCY))
    expected = {
        "the centre less the sides (place)": 0.15,
        "z−1 less z+1 (place)": -0.02,
        "green less red and blue (colour)": 0.075,
        "red less blue (colour)": 0.07,
        ASYMMETRY: LEAN,
    }
    assert table["mean"].to_dict() == pytest.approx(expected, abs=0.004)
    for name, effect in expected.items():
        assert table.loc[name, "low"] < effect < table.loc[name, "high"]
        assert table.loc[name, "high"] - table.loc[name, "low"] < 0.02


def test_the_report_says_what_is_shown_and_how_far_the_effects_explain(
    records: list[Record],
) -> None:
    report = colour_or_place(board_of(six_orders(records[0])))
    assert report is not None
    parts, shown, *_ = report.lines
    assert "the place has 71 %, the colour 29 %, and 0 % is in neither alone" in parts
    assert "above 0: the centre less the sides (place), green less red and blue (colour)" in shown
    assert "below 0: z−1 less z+1 (place)" in shown
    signs = [text[0] for text in dict(report.tables[-1])["signed model asymmetry by saliency"]]
    assert [sign == "−" for sign in signs] == [True, False, True, True, False, False]
    heads = [head for head, _ in report.tables[0]]
    assert heads == ["effect on a slice's share", "by saliency", "by exact values"]


def test_five_orders_cannot_tell_colour_from_place(records: list[Record]) -> None:
    assert colour_or_place(board_of(six_orders(records[0], ORDERS[:5]))) is None
