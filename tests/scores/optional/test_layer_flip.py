"""The three layers that are scored of every network, and those that hide them."""

import numpy as np
import pytest
import torch
from optional_sections import Mix, sections_of

from emsym.models.architectures import create_model
from emsym.scores.optional.layer_flip import LAYER_FLIPS

X = np.random.default_rng(0).standard_normal((2, 3, 64, 64))


def test_a_network_of_one_layer_has_one_number() -> None:
    stem, bottleneck, answer = (score.compute for score in LAYER_FLIPS)
    sections = sections_of(Mix(-1, 0, 1), X)
    # its answer to the reversed stack is the negative, whose distance is the largest
    for compute in (stem, bottleneck, answer):
        assert compute(sections) == pytest.approx([2, 2], abs=1e-2)


def test_the_scores_of_a_unet_lie_within_their_bounds() -> None:
    torch.manual_seed(0)
    sections = sections_of(create_model("unet-tu-test_resnet", "random", 3), X)
    values = np.array([score.compute(sections) for score in LAYER_FLIPS])
    assert ((values > 0.01) & (values <= 2)).all()
    assert len(np.unique(values)) == values.size


def test_what_hides_its_layers_has_its_answer_alone() -> None:
    hidden = torch.jit.trace(Mix(0, 0, 1), torch.zeros(1, 3, 32, 32))
    stem, bottleneck, answer = (score.compute(sections_of(hidden, X)) for score in LAYER_FLIPS)
    assert np.isnan([stem, bottleneck]).all()
    assert answer == pytest.approx([1, 1], abs=0.1)
