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

NEARLY_EMPTY = 0.001
"""A prediction with a smaller part of the pixels as foreground tells next to nothing by its mask.
The limit is this project's convention; the rarest targets of the field, synaptic clefts, have some
three thousandths."""

Matters = Literal["yes", "no", "unclear"]
_BEGINNINGS: dict[Matters, str] = {
    "yes": "The answer depends on the direction of the stack",
    "no": "The answer hardly depends on the direction of the stack",
    "unclear": "Whether a user would notice the stack's direction in the answer is not decided",
}


def answer_effect(
    flip_error: Interval,
    flip_dice: Interval | None,
    dice: tuple[float | None, ...],
    exact: bool,
    predicted: float = 1,
) -> AnswerEffect:
    """Judge by the intervals of the flip error and of the flip Dice, and say it in a sentence.

    `dice` are pooled, against labels: of the stacks as they are, reversed, and of the mean of both
    probabilities; None without labels. `exact` is whether nothing shows more than rounding.
    `predicted` is the foreground's part of the prediction: of one that is nearly empty, masks are
    not compared.
    """
    if nearly_empty := flip_dice is not None and predicted < NEARLY_EMPTY:
        flip_dice = Interval(value=flip_dice.value)
    matters = "no" if exact else _matters(flip_error, flip_dice)
    changes = _probability_change(flip_error)
    if flip_dice is None:
        changes += ", and nothing is predicted either way"
    elif nearly_empty:
        changes += ", and next to nothing is predicted, so that masks tell little"
    else:
        changes += f", and {_apart(flip_dice)} of the predicted foreground then lies elsewhere"
    sentence = f"{_BEGINNINGS[matters]}: {changes}."
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


def _probability_change(flip_error: Interval) -> str:
    by = significant_interval(flip_error.value, flip_error.low, flip_error.high)
    return f"reversing the stack moves the probability by {by} on average"


def _apart(flip_dice: Interval) -> str:
    apart = 100 * (1 - flip_dice.value)
    return f"{apart:.0f} %" if apart >= 1 else "less than 1 %"
