"""Advice comes in the order of what it does to the answer."""

import pytest
from torch import nn

from emsym.auditing.advice import advise
from emsym.auditing.network import Loaded
from emsym.auditing.result import AnswerEffect, Interval, SymmetryResult
from emsym.auditing.verdict import Measured

LEANS = Interval(value=-0.25, low=-0.3, high=-0.2)


def measured(matters: str, dice_averaged: float | None) -> Measured:
    headline = SymmetryResult.model_construct(
        attribution="saliency", target="foreground", model_asymmetry=LEANS
    )
    effect = AnswerEffect(matters=matters, sentence="", dice_averaged=dice_averaged)
    return Measured(
        slices=3,
        sections=20,
        available=20,
        valued=20,
        headline=headline,
        exact_values=None,
        flip_error=Interval(value=0.08),
        effect=effect,
        exact=False,
        empty=0,
    )


@pytest.fixture
def loaded() -> Loaded:
    return Loaded(nn.Identity(), "net.pt", "state dict", None, "unet-resnet18", 3, "net.pt")


def test_what_makes_the_answer_symmetric_comes_first(loaded: Loaded) -> None:
    advice = advise("biased", measured("yes", 0.81), loaded, 1, probabilities=False)
    commands = [each.command or "" for each in advice]
    assert [command.partition("(")[0] for command in commands] == [
        "p = ",
        "emsym.symmetrize",
        "emsym-bench symmetrize net.pt --architecture unet-resnet18 --init rgb+mirror-tied "
        "-o net-mirrored.pt",
        "model = emsym.create_model",
    ]
    first = advice[0].text
    assert "flip error is then 0 instead of 0.080, and Dice against the labels 0.810" in first


def test_where_the_answer_hardly_depends_on_it_that_is_said_first(loaded: Loaded) -> None:
    advice = advise("biased", measured("no", None), loaded, 1, probabilities=False)
    assert advice[0].text.startswith("For the sake of the answer nothing needs to be done")
    assert "Dice" not in advice[1].text
