from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emsym.protocol import Cell, load_protocol
from emsym.run.estimate import Estimate, Seen, estimate, estimate_text, expected, history, pair_of
from emsym.run.job import Job, jobs
from emsym.run.store.record import record_of
from emsym.run.store.store import Store
from emsym.wording import duration


@pytest.fixture
def four(tiny: Path) -> list[Job]:
    return jobs(load_protocol(str(tiny)))


PAIR = ("tiny-a", "linknet-tu-test_efficientnet")


def test_what_was_seen_is_what_is_expected(four: list[Job]) -> None:
    assert pair_of(four[0]) == PAIR
    found = estimate(four, {PAIR: [Seen(10, 100), Seen(14, 300)]})
    assert found is not None
    assert (found.seconds, found.bytes, found.seen, found.unseen) == (48, 800, 2, frozenset())
    middle, low, high = found.wall(2)
    assert middle == 24
    assert 0 < low < middle < high
    assert middle - low == pytest.approx(high - middle)
    assert found.wall(3)[0] == 24, "the fourth is not shared out"
    assert found.wall(4) == found.wall(64), "there is nothing to do for more"
    assert "with 4 at once" in estimate_text(found, 64)


def test_nothing_seen_nothing_said(four: list[Job]) -> None:
    assert estimate(four, {}) is None
    assert "plan --calibrate" in estimate_text(None, 2)
    assert expected({})(four[0]) == 1


def test_a_pair_never_run_is_guessed_after_its_architecture_and_named(four: list[Job]) -> None:
    seen = {
        ("other", PAIR[1]): [Seen(5, 10)] * 4,
        (PAIR[0], "another"): [Seen(500, 10)] * 4,
    }
    found = estimate(four, seen)
    assert found is not None
    assert found.seconds == 20
    assert found.unseen == {PAIR}
    assert found.sd >= found.seconds, "it is a guess"
    assert "tiny-a · linknet-tu-test_efficientnet" in estimate_text(found, 1)
    assert expected(seen)(four[0]) == 5


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=12))
def test_more_records_of_the_same_spread_are_no_less_sure(times: list[float]) -> None:
    job = Job(Cell("d", "a", "rgb", 0), *[None] * 11)  # type: ignore[arg-type]
    few = estimate([job] * 50, {("d", "a"): [Seen(t, 1) for t in times]})
    many = estimate([job] * 50, {("d", "a"): [Seen(t, 1) for t in times * 10]})
    assert few is not None
    assert many is not None
    assert many.seconds == pytest.approx(few.seconds)
    assert many.sd <= few.sd * 1.0001


def test_history_is_read_from_some_records_of_each_pair(four: list[Job], tmp_path: Path) -> None:
    store = Store(tmp_path / "records")
    for job in four:
        store.save(record_of(job, status="done", seconds={"train": 2.0, "data": 1.0}))
    found = history(four, store)
    assert {each.seconds for each in found[PAIR]} == {3.0}
    sizes = {store.path(job.key).stat().st_size for job in four}
    assert {each.bytes for each in found[PAIR]} == sizes


def test_an_interval_of_few_cells_is_told_in_words() -> None:
    text = estimate_text(Estimate((3600, 3600), 600, 2e6, 12), 2)
    assert text.startswith("About 1 h with 2 at once (95 %: 50 min 12 s to 1 h 10 min) and 2.0 MB")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min"), (3599.9, "1 h"), (86_400, "1 d"), (90_000, "1 d 1 h")],
)
def test_durations_round_to_what_a_person_would_say(seconds: float, words: str) -> None:
    assert duration(seconds) == words
