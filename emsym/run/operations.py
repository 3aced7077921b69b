"""How many floating-point operations cells take, from which follows how long on a known device."""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from emsym.data.cards import load_card
from emsym.data.stacks import centres_of_whole_stacks
from emsym.errors import UserError
from emsym.protocol import Faithfulness, Protocol
from emsym.run.cell import load_splits
from emsym.run.job import Job
from emsym.run.scoring import score_model

SIDE = 64
"""Pixels square of what is counted on: operations grow with the pixels."""
SMALL = "unet-tu-test_resnet"
"""The network on which the passes of scores are counted."""
STEP = 3
"""The operations of a step of training beside those of an answer: two gradients cost two more."""
PHANTOM = "phantom-neurites-2"
"""The data set on which they are, which every machine can make."""


def operations(jobs: Iterable[Job]) -> tuple[float, float]:
    """Return the operations of training and of scoring of some cells, all together.

    One addition and one multiplication are two. Strategies are taken for plain ones: a second pass
    that an intervention asks for is left out. Scoring is counted in passes of a small network, of
    which each is as many operations as one pass of the cell's own. Raises `UserError` as
    `create_model` does for an architecture that cannot be built, and for a card without a shape.
    """
    training = scoring = 0.0
    passes: dict[str, tuple[float, float]] = {}
    for job in jobs:
        answer = _operations_per_pixel(job.cell.architecture, job.protocol.slices)
        recipe = job.protocol.recipe
        training += recipe.steps * recipe.batch_size * recipe.patch**2 * STEP * answer
        digest = job.protocol.digest
        if digest not in passes:
            passes[digest] = _passes(job.protocol)
        scoring += _scored_pixels(job, *passes[digest]) * answer
    return training, scoring


def _scored_pixels(job: Job, passes: float, faithful: float) -> float:
    """Return the pixels of test sections, each times the passes that its scores take."""
    scoring, shape = job.protocol.scoring, job.card.extent
    if shape is None:
        raise UserError(
            f"The card of '{job.card.name}' does not say how large the volume is, so what scoring "
            "takes cannot be reckoned: add `shape = [Z, Y, X]` to it, or take `plan --calibrate`."
        )
    start, stop = job.card.split.test
    stacks = stop - start
    if job.protocol.border == "skip":
        stacks = len(centres_of_whole_stacks(stacks, job.protocol.slices, ()))
    stacks = min(stacks, scoring.sections or stacks)
    height, width = (min(length, scoring.size or length) for length in shape[1:])
    over = scoring.over_training
    looked = len(over.steps) * min(over.sections, stacks) if over else 0
    tested = min(scoring.faithfulness.sections, stacks)
    return height * width * ((stacks + looked) * passes + tested * faithful)


@cache
def _operations_per_pixel(architecture: str, slices: int) -> float:
    """Return the operations of an answer for each pixel of a stack."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from emsym.models.architectures import create_model

    model = create_model(architecture, "random", slices).eval().to("meta")
    stack = torch.empty(1, slices, SIDE, SIDE, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(stack)
    return counter.get_total_flops() / SIDE**2


def _passes(protocol: Protocol) -> tuple[float, float]:
    """Return the passes that all scores of a section take, and those of its faithfulness.

    A gradient of the stack takes as many operations as the answer that it is the gradient of.
    """
    import torch

    from emsym.models.architectures import create_model
    from emsym.scores.dense_logits import DenseLogits

    counted: list[float] = []

    def count(module: object, given: tuple[Any, ...], answer: object) -> None:
        stacks = given[0]
        pixels = len(stacks) * math.prod(stacks.shape[-2:])
        counted.append(pixels * (2 if torch.is_grad_enabled() else 1) / SIDE**2)

    model = create_model(SMALL, "random", protocol.slices).eval()
    model.register_forward_hook(count)
    card = load_card(PHANTOM).of_seed(0)
    _, test, instances = load_splits(card, protocol.slices, SIDE, protocol.border, 1, SIDE)

    def passes(faithfulness: Faithfulness) -> float:
        counted.clear()
        scoring = protocol.scoring.model_copy(update={"faithfulness": faithfulness})
        asked = protocol.model_copy(update={"scoring": scoring})
        score_model(DenseLogits(model), test, instances, card, asked, {})
        return math.fsum(counted)

    without = passes(protocol.scoring.faithfulness.model_copy(update={"metrics": ()}))
    return without, passes(protocol.scoring.faithfulness) - without
