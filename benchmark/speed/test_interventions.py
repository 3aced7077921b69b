"""The cost of each intervention: a training step and an answer, beside the plain network's."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from emsym.models.architectures import build_model
from emsym.models.inits import parse_init
from emsym.models.interventions.registry import INTERVENTIONS, list_interventions
from emsym.protocol import Cell, Protocol
from emsym.run.fit import fit
from emsym.run.job import jobs

STEPS = 8
ROUNDS = 5
ANSWERS = 5


@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_steps_and_answers(
    say: Callable[[str], None], quick: Protocol, neurites: tuple, architecture: str
) -> None:
    """In turn with the plain network; a teacher's training is not in the step, its answers are.

    Asked for: at most 1.1 × a plain step in training, 2.1 × with `flip-loss` and `distil`, and
    2.05 × a plain answer for `flip-average`.
    """
    recipe = quick.recipe.model_copy(update={"steps": STEPS})
    protocol = quick.model_copy(update={"recipe": recipe})
    (job, *_) = jobs(protocol.select(architectures=[architecture], seeds=[0]))
    split, stack = neurites[0], torch.randn(4, 3, 128, 128)

    def measure(init: str) -> tuple[float, float]:
        one = replace(job, cell=Cell(*job.cell[:2], init, 0))
        model = build_model(architecture, init, 3, None, 0).model
        changes = [INTERVENTIONS.get(name) for name in parse_init(init).interventions]
        ticks: list[float] = []
        fit(model, replace(one, weights="pretext"), split, changes, _ticker(ticks))
        answering = model
        for change in changes:
            if change.acts_on == "answer":
                answering = change.function(answering).eval()
        return statistics.median(b - a for a, b in pairwise(ticks[-STEPS:])), _seconds(
            answering, stack
        )

    names = [f"mirror+{name}" for name in list_interventions()]
    steps: dict[str, list[float]] = {name: [] for name in names}
    answers: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            plain, ours = measure("mirror"), measure(name)
            steps[name].append(ours[0] / plain[0])
            answers[name].append(ours[1] / plain[1])
    rows = (
        f"  {name.partition('+')[2]:<14} step × {statistics.median(steps[name]):.2f}"
        f"  answer × {statistics.median(answers[name]):.2f}"
        for name in names
    )
    say(f"{architecture}, beside the plain network:\n" + "\n".join(rows))


def _seconds(network: nn.Module, stack: Tensor) -> float:
    """How long an answer takes; not the first one, which takes memory from the system."""
    ticks: list[float] = []
    with torch.inference_mode():
        for _ in range(ANSWERS + 2):
            ticks.append(time.perf_counter())
            network(stack)
    return statistics.median(b - a for a, b in pairwise(ticks[1:]))


def _ticker(ticks: list[float]) -> Callable[[], None]:
    return lambda: ticks.append(time.perf_counter())
