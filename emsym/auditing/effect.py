"""The effect of a stack's direction on a network's answer, against what a user would notice."""

from typing import Literal

from emsym.auditing.result import AnswerEffect, Interval
from emsym.wording import number, significant_interval

FLIP_ERROR = 0.05
"""Reversing a stack may change the probability of a pixel by that much on average before a user
would notice. The limit is this project's convention."""

FLIP_DICE = 0.95
"""The masks that are predicted from both directions may agree by so little before a user would
notice. The limit is this project's convention."""

Matters = Literal["yes", "no", "unclear"]
_BEGINNINGS: dict[Matters, str] = {
    "yes": "The answer depends on the direction of the stack",
    "no": "The answer hardly depends on the direction of the stack",
    "unclear": "Whether a user would notice the stack's direction in the answer is not decided",
}


def answer_effect(
    flip_error: Interval, flip_dice: Interval | None, dice: tuple[float | None, ...], exact: bool
) -> AnswerEffect:
    """Judge by the intervals of the flip error and of the flip Dice, and say it in a sentence.

    `dice` are pooled, against labels: of the stacks as they are, reversed, and of the mean of both
    probabilities; None without labels. `exact` is whether nothing shows more than rounding.
    """
    matters = "no" if exact else _matters(flip_error, flip_dice)
    sentence = f"{_BEGINNINGS[matters]}: {_changes(flip_error, flip_dice)}."
    if exact:
        sentence = "The answer does not depend on the direction of the stack, but for rounding."
    as_it_is, of_reversed, averaged = dice
    if None not in dice:
        sentence += (
            f" Against the labels Dice is {number(as_it_is, 3)}, from reversed stacks "
            f"{number(of_reversed, 3)}, and from the average of both {number(averaged, 3)}."
        )
    return AnswerEffect(
        matters=matters, sentence=sentence, dice_reversed=of_reversed, dice_averaged=averaged
    )


def _matters(flip_error: Interval, flip_dice: Interval | None) -> Matters:
    if flip_error.low is None or flip_error.high is None:
        return "unclear"
    dice = flip_dice or Interval(value=1, low=1, high=1)  # nothing is predicted either way
    if flip_error.low > FLIP_ERROR or (dice.high is not None and dice.high < FLIP_DICE):
        return "yes"
    sure = flip_error.high <= FLIP_ERROR and dice.low is not None and dice.low >= FLIP_DICE
    return "no" if sure else "unclear"


def _changes(flip_error: Interval, flip_dice: Interval | None) -> str:
    by = significant_interval(flip_error.value, flip_error.low, flip_error.high)
    moved = f"reversing the stack moves the probability by {by} on average"
    if flip_dice is None:
        return f"{moved}, and nothing is predicted either way"
    apart = 100 * (1 - flip_dice.value)
    share = f"{apart:.0f}" if apart >= 1 else "less than 1"
    return f"{moved}, and {share} % of the predicted foreground then lies elsewhere"
