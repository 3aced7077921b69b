"""A cell's network is trained with the interventions that its init names."""

from pathlib import Path

import pytest
import torch

from emsym.models.architectures import build_model
from emsym.models.interventions.registry import Intervention
from emsym.protocol import load_protocol
from emsym.run.cell import load_splits
from emsym.run.fit import fit
from emsym.run.job import jobs


@pytest.fixture
def cell(tiny: Path):
    """A job, its training split, and its untrained network."""
    job = next(job for job in jobs(load_protocol(str(tiny))) if job.cell.init == "rgb")
    split = load_splits(job.card, 3, 32, "skip")[0]
    model = build_model(job.cell.architecture, "rgb", 3, job.weights, job.cell.seed).model
    return job, split, model


def test_each_kind_acts_where_it_says(cell) -> None:
    job, split, model = cell
    shown, batches = [], []

    def darken(stacks, generator):
        shown.append(stacks)
        return stacks - 1

    def watch(batch):
        batches.append(batch)
        return batch.logits.sum() * 0 + 5

    changes = [Intervention("stacks", darken), Intervention("loss", watch)]
    curve = fit(model, job, split, changes)
    steps = job.protocol.recipe.steps
    assert len(shown) == len(batches) == len(curve) == steps
    assert all(torch.equal(b.stacks, x - 1) for b, x in zip(batches, shown, strict=True))
    assert min(curve) > 5
    assert all(batch.teacher is None and batch.model is model for batch in batches)


def test_a_teacher_is_the_plain_cell_trained_before(cell) -> None:
    job, split, model = cell
    plain = build_model(job.cell.architecture, "rgb", 3, job.weights, job.cell.seed).model
    fit(plain, job, split)
    teachers, calls = set(), []

    def watch(batch):
        teachers.add(batch.teacher)
        return batch.logits.sum() * 0

    taught = Intervention("loss", watch, taught=True)
    fit(model, job, split, [taught], progress=lambda curve, rate: calls.append(1))
    (teacher,) = teachers
    expected, state = plain.state_dict(), teacher.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert not teacher.training
    assert len(calls) == 2 * job.protocol.recipe.steps, "its steps are part of the cost"
