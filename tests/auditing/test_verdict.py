"""A verdict says what the interval allows, and advice what can be done about it."""

import pytest

from emsym.auditing.result import Interval, SymmetryResult
from emsym.auditing.verdict import FLIP_ERROR, Measured, judge


def measured(asymmetry: Interval | None, **changed: object) -> Measured:
    scores = dict.fromkeys(
        ("ratio", "imbalance", "neighbour_asymmetry", "data_asymmetry", "mirror_distance")
    )
    headline = SymmetryResult(
        attribution="saliency",
        target="foreground",
        share=[Interval(value=1 / 3)] * 3,
        model_asymmetry=asymmetry,
        missing=0,
        **scores,
    )
    numbers = {
        "slices": 3,
        "sections": 20,
        "available": 20,
        "valued": 20,
        "flip_error": Interval(value=0.01),
        "exact": False,
        "empty": 0,
    }
    return Measured(headline=headline, **{**numbers, **changed})


@pytest.mark.parametrize(
    ("bounds", "finding", "words"),
    [
        ((-0.3, -0.2), "biased", "z−1 counts 1.7 × as much as z+1 (95 % interval 1.5–1.9)."),
        ((0.2, 0.3), "biased", "z+1 counts 1.7 × as much as z−1 (95 % interval 1.5–1.9)."),
        ((-0.02, 0.02), "symmetric", "z−1 and z+1 count alike: "),
        ((-0.2, 0.1), "unclear", "which includes 1: this volume does not tell."),
    ],
)
def test_the_interval_decides(bounds: tuple[float, float], finding: str, words: str) -> None:
    low, high = bounds
    result, sentence = judge(measured(Interval(value=(low + high) / 2, low=low, high=high)))
    assert result == finding
    assert words in sentence


def test_sides_that_count_alike_for_different_things_are_unclear() -> None:
    alike = Interval(value=0.0, low=-0.01, high=0.01)
    other = measured(alike, flip_error=Interval(value=2 * FLIP_ERROR))
    assert judge(other)[0] == "unclear"
    assert "reversing the stack moves the probability by 0.10 on average" in judge(other)[1]
    assert judge(measured(alike, exact=True)) == (
        "symmetric",
        "z−1 and z+1 count exactly alike, but for rounding.",
    )


def test_more_sections_are_advised_where_there_are_more() -> None:
    wide = Interval(value=0.0, low=-0.5, high=0.5)
    assert judge(measured(wide, available=50))[1].endswith("more sections would tell.")
    assert not measured(wide).more_would_tell
