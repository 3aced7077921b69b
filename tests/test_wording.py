"""Numbers in words, where something is missing, negative or exactly at a limit."""

import subprocess
import sys

import pytest

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
