"""A leaderboard as a notebook shows it."""

from made_boards import board_of

from emsym.leaderboard.board_html import board_html
from emsym.run.store.record import Record


def test_it_is_a_row_for_each_strategy_with_the_conclusions(records: list[Record]) -> None:
    shown = board_html(board_of(records))
    assert shown.count("<tr>") == 1 + len({record.init for record in records})
    assert "0.895" in shown
    assert "Ranked over the" in shown
    assert len(shown) < 10_000


def test_names_of_strangers_are_no_markup(records: list[Record]) -> None:
    named = [r.model_copy(update={"init": f"<b>{r.init}</b>"}) for r in records]
    shown = board_html(board_of(named))
    assert "<b>" not in shown
    assert "&lt;b&gt;rgb&lt;/b&gt;" in shown
