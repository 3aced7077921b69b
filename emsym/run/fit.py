"""The training of one cell's network, with the interventions that its init names."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn

from emsym.data.stacks import Split
from emsym.models.architectures import build_model
from emsym.models.interventions.registry import Intervention, TrainingBatch
from emsym.run.job import Job
from emsym.scores.score import BASELINE
from emsym.train import Batch, LossCurve, labelled_loss, loss, train


def fit(
    model: nn.Module,
    job: Job,
    split: Split,
    interventions: Sequence[Intervention] = (),
    progress: Callable[[LossCurve, float], object] = lambda curve, rate: None,
    visit: Callable[[int], object] = lambda step: None,
    visits: Collection[int] = (),
) -> list[float]:
    """Train the network of a job's cell in place, and return the loss of every step.

    Strategies that share a data set, an architecture and a seed see the same batches, so that they
    compare in pairs. Where an intervention wants a teacher, that is trained before. `progress`,
    `visit` and `visits` are as `train` takes them; it raises as that does.
    """
    recipe, cell = job.protocol.recipe, job.cell
    taught = any(each.taught for each in interventions)
    teacher = _teacher(job, split, progress) if taught else None
    generator = torch.Generator().manual_seed(cell.patch_seed(recipe))
    reversals = torch.Generator().manual_seed(2**31 + cell.seed)  # not the batches' numbers
    torch.manual_seed(cell.seed)  # what dropout draws from
    shown = [each.apply for each in interventions if each.acts_on == "stacks"]
    added = [each.apply for each in interventions if each.acts_on == "loss"]
    stacks = torch.empty(0)

    def batch() -> Batch:
        nonlocal stacks
        stacks, labels = split.sample(recipe.batch_size, recipe.patch, recipe.augment, generator)
        for change in shown:
            stacks = change(stacks, reversals)
        return stacks, labels

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        error = (loss if split.known is None else labelled_loss)(logits, labels)
        for term in added:
            error = error + term(TrainingBatch(model, stacks, logits, labels, teacher))
        return error

    return train(model, batch, recipe, progress, visit, visits, objective)


def _teacher(job: Job, split: Split, progress: Callable[[LossCurve, float], object]) -> nn.Module:
    """Return the plain baseline of the job's cell, trained as its own cell trains it."""
    cell = job.cell
    built = build_model(
        cell.architecture, BASELINE, job.protocol.slices, job.weights, cell.seed, job.offline
    )
    teacher = built.model.to(split.image.device)
    fit(teacher, job, split, progress=progress)
    if job.protocol.recipe.precision == "float64":
        teacher.double()
    return teacher.requires_grad_(False)
