"""A verdict says what the interval allows, and advice what can be done about it."""

import pytest

from emsym.auditing.effect import FLIP_ERROR
from emsym.auditing.result import AnswerEffect, Interval, SymmetryResult
from emsym.auditing.verdict import Measured, judge


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
        "exact_values": None,
        "flip_error": Interval(value=0.01, low=0.009, high=0.011),
        "effect": AnswerEffect(matters="no", sentence="The answer hardly depends on it."),
        "exact": False,
        "empty": 0,
    }
    return Measured(headline=headline, **{**numbers, **changed})


@pytest.mark.parametrize(
    ("bounds", "finding", "words"),
    [
        (
            (-0.3, -0.2),
            "biased",
            "z−1 counts 1.7 × as much as z+1 (95 % interval 1.5–1.9 over 20 sections of "
            "this network).",
        ),
        (
            (0.2, 0.3),
            "biased",
            "z+1 counts 1.7 × as much as z−1 (95 % interval 1.5–1.9 over 20 sections of "
            "this network).",
        ),
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
    assert "reversing the stack moves the probability by 0.100 on average" in judge(other)[1]
    assert judge(measured(alike, exact=True)) == (
        "symmetric",
        "z−1 and z+1 count exactly alike, but for rounding.",
    )


def test_the_flip_error_is_compared_by_its_interval() -> None:
    alike = Interval(value=0.0, low=-0.01, high=0.01)
    near = Interval(value=0.9 * FLIP_ERROR, low=0.8 * FLIP_ERROR, high=1.1 * FLIP_ERROR)
    assert judge(measured(alike, flip_error=near))[0] == "unclear"


LEANS = Interval(value=-0.25, low=-0.3, high=-0.2)


@pytest.mark.parametrize(
    ("exact", "finding", "words"),
    [
        ((0.2, 0.3), "biased", "by exact Shapley values, z+1 counts 1.7 × as much as z−1"),
        ((-0.02, 0.02), "biased", "by exact Shapley values, both count alike: "),
        ((-0.2, 0.1), "biased", "by exact Shapley values, they are not told apart"),
        ((-0.1, -0.06), "biased", "by exact Shapley values, z−1 counts 1.17 × as much as z+1"),
        ((-0.19, -0.14), "biased", None),  # less, but not by half
        ((-0.31, -0.2), "biased", None),
    ],
)
def test_exact_values_that_tell_something_else_are_told(
    exact: tuple[float, float], finding: str, words: str | None
) -> None:
    low, high = exact
    values = Interval(value=(low + high) / 2, low=low, high=high)
    result, sentence = judge(measured(LEANS, exact_values=values))
    assert result == finding
    assert ("Shapley" in sentence) == (words is not None)
    if words is not None:
        assert sentence.startswith("By saliency, z−1 counts 1.7 ×")
        assert words in sentence


def test_what_saliency_alone_calls_alike_is_not_called_symmetric() -> None:
    alike = Interval(value=0.0, low=-0.01, high=0.01)
    result, sentence = judge(measured(alike, exact_values=LEANS))
    assert result == "unclear"
    assert sentence.startswith("By saliency, both count alike: ")
    assert "by exact Shapley values, z−1 counts 1.7 ×" in sentence


def test_exact_values_that_are_alike_too_agree_however_they_compare() -> None:
    tiny, small = (Interval(value=v, low=v / 2, high=2 * v) for v in (0.001, 0.02))
    assert judge(measured(tiny, exact_values=small))[0] == "symmetric"


ALIKE = Interval(value=0.0, low=-0.01, high=0.01)
UNTOLD = Interval(value=0.1, low=-0.1, high=0.3)
BARELY = Interval(value=-0.1, low=-0.19, high=-0.01)
WIDE = Interval(value=-0.6, low=-0.99, high=-0.21)


@pytest.mark.parametrize(
    ("asymmetry", "changed", "decided"),
    [
        (LEANS, {}, True),
        (ALIKE, {}, True),
        (UNTOLD, {}, False),
        (None, {}, False),
        (Interval(value=-0.3), {}, False),
        (BARELY, {}, False),  # it may yet turn out to be so little that both are called alike
        (LEANS, {"exact_values": LEANS}, True),
        (LEANS, {"exact_values": ALIKE}, True),
        (LEANS, {"exact_values": UNTOLD}, False),
        (LEANS, {"exact_values": BARELY}, False),
        (LEANS, {"exact_values": WIDE}, False),  # twice as much, or not
        (ALIKE, {"exact_values": ALIKE}, True),
        (ALIKE, {"exact_values": LEANS}, False),  # which is unclear
        (ALIKE, {"flip_error": Interval(value=0.04, low=0.02, high=0.06)}, False),
        (ALIKE, {"flip_error": Interval(value=0.08, low=0.07, high=0.09)}, False),
        (LEANS, {"flip_error": Interval(value=0.04, low=0.02, high=0.06)}, True),
        (UNTOLD, {"exact": True}, True),
        (None, {"slices": 1}, True),
    ],
)
def test_a_finding_is_decided_when_no_narrower_interval_could_change_it(
    asymmetry: Interval | None, changed: dict, decided: bool
) -> None:
    assert measured(asymmetry, **changed).decided == decided


def test_more_sections_are_advised_where_there_are_more() -> None:
    wide = Interval(value=0.0, low=-0.5, high=0.5)
    assert judge(measured(wide, available=50))[1].endswith("more sections would tell.")
    assert not measured(wide).more_would_tell
