"""A sanity check in Python: its words, and what it leaves out."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.auditing.randomisation import sanity
from emsym.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 40, 50)).astype(np.uint8)

pytestmark = pytest.mark.usefixtures("one_thread")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


def test_a_table_of_every_stage_and_a_verdict() -> None:
    report = sanity(network(), IMAGE, attribution=("saliency",), target="all", sections=2)
    lines = str(report).splitlines()
    assert lines[0].startswith("How alike the maps of Sequential are")
    assert any(
        line.startswith("saliency") and line.split()[-1] in ("passes", "fails") for line in lines
    )
    assert (report.sections, report.target) == (2, "all")
    assert {row.attribution for row in report.result.rows} == {"saliency"}


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (network(), {"attribution": ("slice-shapley",)}, "take slice-occlusion"),
        (network(), {"attribution": ("salience",)}, "did you mean 'saliency'"),
        (lambda x: x[:, 1:2], {"slices": 3}, "shows no weights"),
        (network(), {"target": "foreground", "threshold": 0.999999}, "nothing to explain"),
    ],
)
def test_a_mistake_is_one_sentence(model, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sanity(model, IMAGE, **options)
