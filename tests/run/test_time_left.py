import pytest
from hypothesis import given
from hypothesis import strategies as st

from emsym.run import time_left as module
from emsym.run.time_left import makespan, time_left

PIECES = st.lists(st.floats(1, 100), min_size=1, max_size=30)


@given(PIECES, st.integers(1, 8))
def test_it_is_no_shorter_than_a_fair_share_and_no_longer_than_one_piece_more(
    pieces: list[float], workers: int
) -> None:
    fair = max(sum(pieces) / workers, max(pieces))
    assert fair <= makespan(pieces, workers) + 1e-6
    assert makespan(pieces, workers) <= sum(pieces) / workers + max(pieces) + 1e-6
    assert makespan(pieces, 1) == pytest.approx(sum(pieces))


def test_more_workers_than_pieces_are_of_no_use() -> None:
    assert makespan([30.0, 60.0], 16) == 60
    assert makespan([], 3) == 0


def test_a_long_list_is_dealt_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [1.0, 3.0] * 1000
    whole = makespan(pieces, 7)
    monkeypatch.setattr(module, "EXACT", 50)
    assert makespan(pieces, 7) == pytest.approx(whole, rel=0.01)


def test_after_the_first_of_four_on_two_workers_two_more_rounds_do_not_follow() -> None:
    # the first ended after a minute; the second, begun with it, is nearly done
    assert time_left([1, 1, 1], paid=1, took=60, ages=[60], workers=2) == 66
    assert time_left([1, 1, 1], paid=1, took=60, ages=[], workers=1) == 180, "one after the other"


def test_a_last_piece_is_not_shared_out() -> None:
    assert time_left([1], paid=2, took=60, ages=[], workers=2) == 60


def test_costs_count() -> None:
    assert time_left([3, 1], paid=1, took=10, ages=[], workers=1) == 40
    assert time_left([3, 1], paid=1, took=10, ages=[10], workers=2) == pytest.approx(20)


def test_of_workers_that_nobody_told_of_the_pace_stays() -> None:
    assert time_left([1, 1], paid=4, took=40, ages=[], workers=0) == 20
