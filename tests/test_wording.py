"""Numbers in words, where something is missing, negative or exactly at a limit."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emsym import wording

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (wording.number(None, 2), "–"),
        (wording.number(-0.0004, 3), "0.000"),
        (wording.number(-1.5, 1), "−1.5"),
        (wording.bounds(0.1, NAN, 2), ""),
        (wording.bounds(-0.2, -0.1, 1), "−0.2 to −0.1"),
        (wording.interval(0.5, NAN, NAN, 2), "0.50"),
        (wording.p_value(NAN), "–"),
        (wording.p_value(0.001), ".001"),
        (wording.p_value(1.0), "1.000"),
        (wording.rank_range(NAN, NAN), "–"),
        (wording.rank_range(2.0, 5.0), "2–5"),
        (wording.shares([0.25, NAN]), ".25 / –"),
        (wording.slice_name("a/b/slice_share[+2]"), "z+2"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(59.4, "59 s"), (59.6, "1 min"), (3_599.9, "1 h"), (86_400, "1 d"), (90_000, "1 d 1 h")],
)
def test_durations_round_up_into_the_next_unit(seconds: float, expected: str) -> None:
    assert wording.duration(seconds) == expected


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, emsym.wording; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "torch"} & set(done.stdout.split())


@given(st.floats(-1e6, 1e6))
def test_a_number_is_told_to_at_least_two_digits(value: float):
    text = wording.significant(value)
    assert "-" not in text
    plain = text.replace("−", "-").replace(",", "")
    if "×" in plain:
        assert abs(value) < 1e-4
    else:
        assert float(plain) == pytest.approx(value, rel=0.05)
        assert plain != "-0"


def test_bounds_are_told_with_the_decimals_of_the_value() -> None:
    assert wording.significant_interval(1234.4, 1199.9, 1300) == "1,234 (1,200–1,300)"
    assert wording.significant_interval(0.5, None, 0.7) == "0.500"
    assert (
        wording.significant_interval(1e-5, -1e-5, 3e-5) == "1.0 × 10⁻⁵ (−1.0 × 10⁻⁵ to 3.0 × 10⁻⁵)"
    )
    assert wording.significant(math.inf) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.34, "2.3 s"), (59.4, "59.4 s"), (133.4, "2 min 13 s"), (4e3, "1 h 7 min")],
)
def test_decimals_are_of_seconds_alone(seconds: float, text: str) -> None:
    assert wording.duration(seconds, digits=1) == text


@pytest.mark.parametrize("slices", [1, 3, 5, 7])
def test_slices_are_called_by_their_distance_from_the_centre(slices: int) -> None:
    names = wording.slice_names(slices)
    assert len(names) == slices
    assert names[slices // 2] == "z"
    if slices == 3:
        assert (names[0], names[-1]) == wording.sides(slices)
