"""Scoring one test image of the quick protocol, everything that a record holds of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from emsym.data.cards import load_card
from emsym.models.architectures import create_model
from emsym.protocol import Protocol
from emsym.run.cell import score_model
from emsym.scores.dense_logits import DenseLogits


@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_scoring_one_image(
    benchmark: BenchmarkFixture,
    say: Callable[[str], None],
    quick: Protocol,
    neurites: tuple,
    architecture: str,
) -> None:
    _, test, instances = neurites
    one = replace(test, image=test.image[:3], foreground=test.foreground[:3])  # one stack
    dense = DenseLogits(create_model(architecture, "random").eval())
    card, seconds = load_card("phantom-neurites"), {}
    benchmark.pedantic(
        score_model, (dense, one, instances[:1], card, quick, seconds), rounds=5, warmup_rounds=1
    )
    say(f"{architecture}: {seconds}")
