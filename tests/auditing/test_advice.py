"""Advice comes in the order of what it does to the answer."""

from dataclasses import replace
from pathlib import Path

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
    words = "--architecture", "unet-resnet18"
    return Loaded(nn.Identity(), "net.pt", "state dict", None, words[1], 3, "net.pt", repair=words)


def test_what_makes_the_answer_symmetric_comes_first(loaded: Loaded) -> None:
    advice = advise("biased", measured("yes", 0.81), loaded, 1, probabilities=False, most=20)
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


@pytest.mark.parametrize(
    ("path", "repair", "classes", "command"),
    [
        (
            "net.pt",
            ("--model", "my nets.py:build"),
            4,
            "symmetrize net.pt --model 'my nets.py:build' --init rgb+mirror-tied "
            "-o net-mirrored.pt",
        ),
        (
            "folder",
            (),
            4,
            "symmetrize folder --init rgb+mirror-tied -o folder-mirrored.safetensors",
        ),
        ("net.pt", ("--architecture", "unet-resnet18"), 4, None),
        ("net.pt", None, 1, None),
    ],
)
def test_the_command_that_repairs_a_file_says_how_its_network_is_built(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loaded: Loaded,
    path: str,
    repair: tuple[str, ...] | None,
    classes: int,
    command: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    network = replace(loaded, path=path, repair=repair)
    advice = advise("biased", measured("yes", None), network, classes, probabilities=False, most=20)
    commands = [each.command for each in advice if "emsym-bench" in (each.command or "")]
    assert commands == ([] if command is None else [f"emsym-bench {command}"])


def test_where_the_answer_hardly_depends_on_it_that_is_said_first(loaded: Loaded) -> None:
    unsure = advise("biased", measured("unclear", None), loaded, 1, probabilities=False, most=20)
    assert not any("--sections" in each.text for each in unsure)
    early = replace(measured("unclear", None), sections=5)
    (first, *_) = advise("biased", early, loaded, 1, probabilities=False, most=20)
    assert "--sections 20" in first.text
    advice = advise("biased", measured("no", None), loaded, 1, probabilities=False, most=20)
    assert advice[0].text.startswith("For the sake of the answer nothing needs to be done")
    assert "Dice" not in advice[1].text
