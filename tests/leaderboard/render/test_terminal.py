"""The leaderboard in terminals of several widths."""

import io
import re

import pytest
from made_boards import board_of
from made_experiments import six_orders
from rich.console import Console

from emsym.leaderboard.render.terminal import print_boards, print_results
from emsym.run.store.record import Record


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_shows_whole_rows(records: list[Record], width: int) -> None:
    stream = io.StringIO()
    print_boards([board_of(records)], Console(file=stream, width=width))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if re.match(r" +\d\S* +rgb ", line))
    assert (".30 / .60 / .10" if width == 160 else ".30/.60/.10") in row
    assert "0.895" in row
    assert ("(" in row) == (width == 160)


def test_names_of_strangers_are_no_markup(records: list[Record]) -> None:
    named = [r.model_copy(update={"init": f"[red]{r.init}[/red]"}) for r in records]
    stream = io.StringIO()
    print_boards([board_of(named)], Console(file=stream, width=160))
    assert "[red]rgb[/red]" in stream.getvalue()


def test_what_an_experiment_comes_to_follows_its_board(records: list[Record]) -> None:
    stream = io.StringIO()
    print_boards([board_of(six_orders(records[0]))], Console(file=stream, width=160))
    before, after = stream.getvalue().split("Colour or place")
    assert "Least biased" in before
    assert "red less blue (colour)" in after


def test_a_run_ends_with_table_and_verdict(records: list[Record]) -> None:
    stream = io.StringIO()
    lacking = board_of([*records[:-1], records[-1].model_copy(update={"status": "failed"})])
    for board in (board_of(records), lacking):
        print_results([board], Console(file=stream, width=200))
    whole, part = stream.getvalue().split("Leaderboard: ")[1:]
    verdict, measured = whole.rstrip().splitlines()[-2:]
    assert verdict.startswith("Are both sides treated alike? ")
    assert measured.startswith("Measured on tiny-a")
    assert "Protocol: " not in whole, "the files have what else there is to know"
    assert part.rstrip().splitlines()[-1].startswith("Cells are missing or failed: the leaderboard")


def test_without_a_baseline_the_verdict_says_what_ranks_first(records: list[Record]) -> None:
    others = [each for each in records if each.init != "rgb"]
    stream = io.StringIO()
    print_results([board_of(others)], Console(file=stream, width=200))
    assert "Are both sides" not in stream.getvalue()
    assert stream.getvalue().rstrip().splitlines()[-2].startswith(("Least biased", "1 strategy"))
