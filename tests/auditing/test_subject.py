"""A subject is what the inputs say, and its network is at rest meanwhile."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.auditing.inputs import AuditInputs
from emsym.auditing.subject import prepare
from emsym.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 40, 50)).astype(np.uint8)
LABELS = IMAGE > 128


@pytest.mark.parametrize(
    ("labels", "target", "targets"),
    [
        (None, None, ["foreground"]),
        (None, "all", ["all"]),
        (LABELS, None, ["true-foreground", "foreground"]),
        (LABELS, "all", ["all", "true-foreground", "foreground"]),
    ],
)
def test_targets_are_those_that_labels_allow(labels, target, targets) -> None:
    model = nn.Conv2d(5, 1, 1).train()
    with prepare(AuditInputs(model, IMAGE, labels, target=target, sections=2)) as subject:
        assert subject.targets == targets
        assert subject.chosen.slices == 5
        assert not model.training
        assert not model.weight.requires_grad
    assert model.training
    assert model.weight.requires_grad


def test_the_channel_is_the_class_that_is_looked_at() -> None:
    model = nn.Conv2d(3, 4, 1)
    with prepare(AuditInputs(model, IMAGE, channel=2, sections=2)) as subject:
        x = subject.chosen[:1][0]
        assert (subject.classes, subject.dense.channel) == (4, 2)
        assert subject.dense.outputs(x).shape[1] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"target": "some"}, "no target 'some'"),
        ({"target": "true-foreground"}, "needs labels"),
        ({"channel": 1}, "no class 1"),
        ({"slices": 4}, "odd"),
    ],
)
def test_a_mistake_is_one_sentence(options: dict, message: str) -> None:
    torch.manual_seed(0)
    with (
        pytest.raises(UserError, match=message) as error,
        prepare(AuditInputs(nn.Conv2d(3, 1, 1), IMAGE, **options)),
    ):
        pass
    assert "\n" not in str(error.value)
