"""Caveats are told where they hold, and nowhere else."""

import numpy as np
import pytest

from emsym.auditing.caveats import FEW, interval_caveats, prediction_cautions, score_caveats
from emsym.auditing.effect import NEARLY_EMPTY
from emsym.auditing.result import LooksResult
from emsym.scores.segmentation import Counts

ONCE = LooksResult(sentence="", most=12, ends=[12], level=0.95)


@pytest.mark.parametrize(
    ("valued", "blocks", "expected"),
    [
        (FEW, 12, []),
        (FEW - 1, 12, ["fewer than"]),
        (1, 12, []),
        (FEW, 4, ["4 blocks"]),
        (FEW, 1, ["1 block of"]),
    ],
)
def test_intervals(valued: int, blocks: int, expected: list[str]) -> None:
    first, *others = interval_caveats(list(range(12)), np.arange(12) % blocks, valued, ONCE)
    assert "this one network" in first
    assert len(others) == len(expected)
    assert all(words in note for words, note in zip(expected, others, strict=True))


def test_the_level_of_each_look_is_told_where_there_are_several() -> None:
    looks = LooksResult(sentence="", most=20, ends=[5, 10, 15, 20], level=0.9875)
    notes = interval_caveats(list(range(0, 60, 6)), np.arange(10), 10, looks)
    (level,) = (each for each in notes if "98.75 %" in each)
    assert "after 5, 10, 15 and 20 sections" in level
    assert not any("judged" in each for each in interval_caveats([1, 9], np.arange(2), 10, ONCE))


@pytest.mark.parametrize(
    ("dice", "inverse", "expected"),
    [(0.9, 0.1, ""), (0.3, 0.2, ""), (0.1, 0.2, "Dice is 0.10: is"), (0.1, 0.8, "look inverted")],
)
def test_a_dice_that_is_suspect(dice: float, inverse: float, expected: str) -> None:
    def counts(dice: float) -> Counts:
        mask, hit = np.zeros(1000, bool), round(500 * dice)
        mask[:500] = True
        return Counts.of(mask, np.roll(mask, 500 - hit))

    columns = {"flip_error": np.zeros(2), "flip_dice": np.ones(2)}
    notes = score_caveats(columns, [], counts(dice), counts(inverse))
    assert len(notes) == bool(expected)
    assert expected in "".join(notes)


def test_a_prediction_that_is_nearly_empty_is_told_and_labels_are_not_suspected() -> None:
    assert prediction_cautions(NEARLY_EMPTY) == []
    (few,), (none,) = prediction_cautions(0.00021), prediction_cautions(0)
    assert few.startswith("The prediction is nearly empty: 0.021 % of its pixels are foreground.")
    assert none.startswith("The prediction is empty. Are --mean and --sd those of its training")
    columns = {"flip_error": np.zeros(2), "flip_dice": np.ones(2)}
    counts = Counts.of(np.arange(1000) < 1, np.arange(1000) < 500)
    for predicted, notes in ((0.001, 1), (0.0002, 0)):
        assert len(score_caveats(columns, [], counts, counts, predicted)) == notes


def test_sections_without_a_prediction_are_counted() -> None:
    columns = {"flip_error": np.zeros(3), "flip_dice": np.array([np.nan, 1, np.nan])}
    (note,) = score_caveats(columns, [], None, None)
    assert "in 2 of 3 sections" in note
