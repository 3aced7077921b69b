"""Interventions that add to the loss: `flip-loss` and `distil`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from emsym.models.interventions.registry import TrainingBatch

FLIP_LOSS_WEIGHT = 10.0
"""The weight of `flip_loss` beside a loss of about one half: of a network whose probabilities move
by .05 when stacks are reversed, it is .025. This project's choice."""


def flip_loss(model: nn.Module, stacks: Tensor, logits: Tensor) -> Tensor:
    """Return the mean of (p(x) − p(mirror x))² over stacks x (N, S, H, W).

    Their logits (N, 1, H, W) are known. The second pass leaves running statistics of normalisation
    as they are.
    """
    with _without_running_statistics(model):
        reversed_logits = model(stacks.flip(1).to(logits.dtype)).to(logits.dtype)
    return (logits.sigmoid() - reversed_logits.sigmoid()).square().mean()


@contextmanager
def _without_running_statistics(model: nn.Module) -> Iterator[None]:
    kept = [m for m in model.modules() if getattr(m, "track_running_stats", False)]
    for module in kept:
        module.track_running_stats = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in kept:
            module.track_running_stats = True  # type: ignore[assignment]


def distillation_loss(batch: TrainingBatch) -> Tensor:
    """Return the cross-entropy of a student's answer with the probabilities of its teacher.

    It is the mean over all pixels, at temperature 1 (Hinton, Vinyals and Dean, arXiv 1503.02531),
    and weighs as much as that with the labels.
    """
    assert batch.teacher is not None, "it is registered as one that is taught"
    with torch.no_grad():
        taught = batch.teacher(batch.stacks.to(batch.logits.dtype)).sigmoid().to(batch.logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(batch.logits, taught)
