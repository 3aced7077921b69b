"""The terms that interventions add to the loss."""

import copy

import pytest
import torch
from torch import nn

from emsym.models.interventions.losses import distillation_loss, flip_loss
from emsym.models.interventions.mirror_tied import mirror_tie
from emsym.models.interventions.registry import TrainingBatch
from emsym.models.stem.find import find_stem

pytestmark = pytest.mark.numerical


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)
    )


def stacks(count=2):
    return torch.rand(count, 3, 16, 16) * torch.tensor([1.0, 2.0, 5.0]).view(1, 3, 1, 1)


def test_the_loss_of_a_flip_is_that_of_the_probabilities_and_moves_no_statistic():
    model, x = network().train(), stacks()
    logits = model(x)
    before = {name: each.clone() for name, each in model.named_buffers()}
    error = flip_loss(model, x, logits)
    assert all(torch.equal(each, before[name]) for name, each in model.named_buffers())
    expected = (logits.sigmoid() - copy.deepcopy(model)(x.flip(1)).sigmoid()).square().mean()
    torch.testing.assert_close(error, expected)
    error.backward()
    assert model[0].weight.grad.abs().max() > 0
    model(x)
    assert model[1].num_batches_tracked == before["1.num_batches_tracked"] + 1, "they go on"


def test_a_tied_network_has_no_flip_loss():
    model, x = network().train(), stacks()
    mirror_tie(model, find_stem(model))
    assert flip_loss(model, x, model(x)).item() < 1e-10


def test_distillation_is_least_where_the_student_answers_as_its_teacher():
    teacher, student, x = network(1).eval(), network(2).train(), stacks()
    labels = torch.zeros(2, 1, 16, 16)
    own = teacher(x)
    p = own.sigmoid()
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    alike = distillation_loss(TrainingBatch(student, x, own, labels, teacher))
    torch.testing.assert_close(alike, entropy)
    logits = student(x)
    assert distillation_loss(TrainingBatch(student, x, logits, labels, teacher)) > alike
    distillation_loss(TrainingBatch(student, x, logits, labels, teacher)).backward()
    assert student[0].weight.grad.abs().max() > 0
    assert teacher[0].weight.grad is None
