"""An audit keeps of each group of sections what its report needs, and no more."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.auditing.inputs import AuditInputs
from emsym.auditing.volume import choose_sections
from emsym.auditing.walk import EXAMPLES, Walk
from emsym.data.phantoms import generate_phantom
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import measure

PHANTOM = generate_phantom("neurites", (9, 64, 64), 0)
HEADLINE = "saliency", "foreground"


@pytest.fixture(scope="module")
def walk() -> Walk:
    torch.manual_seed(0)
    inputs = AuditInputs("no network", PHANTOM.image, PHANTOM.semantic)
    chosen = choose_sections(inputs, 3, (64, 64))
    made = Walk(chosen, HEADLINE, sure=len(chosen))
    for group in measure(
        DenseLogits(nn.Conv2d(3, 1, 3, padding=1)), chosen, ["foreground"], ["saliency"]
    ):
        made.add(group, {"more": np.arange(len(group.x))})
    return made


def test_columns_go_on_from_group_to_group(walk: Walk) -> None:
    lengths = {sum(map(len, parts)) for parts in walk.columns.values()}
    assert lengths == {7}
    assert "more" in walk.columns
    assert len(walk.counts) == len(walk.reversed) == len(walk.averaged) == 7


def test_labels_of_the_contrary_share_out_the_predicted_pixels(walk: Walk) -> None:
    for counts, inverse in zip(walk.counts, walk.inverse, strict=True):
        assert (counts.tp, counts.fp) == (inverse.fp, inverse.tp)
    assert walk.predicted == sum(c.tp + c.fp for c in walk.counts) / (7 * 64 * 64)


def test_examples_are_spread_and_the_mean_map_is_of_all_sections(walk: Walk) -> None:
    pictures = walk.pictures()
    assert [each.section for each in pictures.examples] == [1, 4, 7]
    assert len(pictures.examples) == EXAMPLES
    assert pictures.mean_map.shape == (3, 64, 64)
    assert (pictures.mean_map >= 0).all()
    assert pictures.mean_map.any()
