"""Whether the direction of a stack matters to the answer, as the intervals tell it."""

import pytest

from emsym.auditing.effect import NEARLY_EMPTY, answer_effect
from emsym.auditing.result import Interval

NO_LABELS = (None, None, None)


def around(value: float, reach: float) -> Interval:
    return Interval(value=value, low=value - reach, high=value + reach)


@pytest.mark.parametrize(
    ("flip_error", "flip_dice", "matters"),
    [
        (around(0.08, 0.02), around(0.97, 0.01), "yes"),
        (around(0.01, 0.001), around(0.90, 0.04), "yes"),
        (around(0.01, 0.001), around(0.97, 0.01), "no"),
        (around(0.01, 0.001), None, "no"),
        (around(0.05, 0.01), around(0.97, 0.01), "unclear"),
        (around(0.01, 0.001), around(0.95, 0.02), "unclear"),
        (Interval(value=0.2), Interval(value=0.5), "unclear"),  # of one section
    ],
)
def test_the_intervals_decide(flip_error: Interval, flip_dice: Interval, matters: str) -> None:
    assert answer_effect(flip_error, flip_dice, NO_LABELS, exact=False).matters == matters


def test_the_sentence_says_how_much_changes_and_what_the_labels_say() -> None:
    effect = answer_effect(around(0.08, 0.02), around(0.91, 0.01), (0.8, 0.79, 0.81), exact=False)
    assert effect.sentence == (
        "The answer depends on the direction of the stack: reversing the stack moves the "
        "probability by 0.080 (0.060–0.100) on average, and 9 % of the predicted foreground then "
        "lies elsewhere. Against the labels Dice is 0.800, from reversed stacks 0.790, and from "
        "the average of both 0.810."
    )
    assert (effect.dice_reversed, effect.dice_averaged) == (0.79, 0.81)


def test_masks_of_a_prediction_that_is_nearly_empty_are_not_compared() -> None:
    numbers = around(0.01, 0.001), around(0.02, 0.01), NO_LABELS
    effect = answer_effect(*numbers, exact=False, predicted=NEARLY_EMPTY / 2)
    assert effect.matters == "unclear"
    assert effect.sentence.endswith(
        ", and next to nothing is predicted, so that masks tell little."
    )
    assert "98 %" in answer_effect(*numbers, exact=False, predicted=NEARLY_EMPTY).sentence
    moved = around(0.08, 0.01), around(0.02, 0.01), NO_LABELS
    assert answer_effect(*moved, exact=False, predicted=0).matters == "yes"


def test_rounding_is_no_effect() -> None:
    effect = answer_effect(around(1e-7, 1e-8), None, NO_LABELS, exact=True)
    assert effect.sentence == (
        "The answer does not depend on the direction of the stack, but for rounding."
    )
