"""Each slice's share of the weights that read the stack is told, of all filters and of each."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym import create_model, symmetrize
from emsym.models.stem.profile import stem_profile

pytestmark = pytest.mark.numerical


def conv(weight):
    """A network whose first layer has those weights, (F, S, 1, 1)."""
    first = nn.Conv2d(weight.shape[1], len(weight), 1, bias=False)
    first.weight = nn.Parameter(weight)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(len(weight), 1, 1))


def test_known_stem_profile():
    weight = torch.tensor([[3.0, 0, 0], [0, 0, 0], [4, 0, 5]])[..., None, None]
    found = stem_profile(conv(weight))
    np.testing.assert_allclose(found.share, [0.5, 0, 0.5])  # norms 5, 0, 5
    np.testing.assert_allclose(
        found.filters, [[1, 0, 0], [np.nan] * 3, [4 / 9, 0, 5 / 9]], rtol=1e-6
    )
    assert found.where == "0 (Conv2d)"


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_stem_profile_is_of_the_slices_that_the_network_reads(slices):
    network = create_model("unet-tu-test_resnet", "random", slices)
    found = stem_profile(network)
    assert found.share.shape == (slices,)
    assert found.share.sum() == pytest.approx(1)
    assert found.filters.shape[1] == slices


def test_stem_profile_shows_what_a_strategy_did():
    one_sided = create_model("unet-tu-test_resnet", "random")
    symmetrize(one_sided, "uniform-green")
    np.testing.assert_allclose(stem_profile(one_sided).share, 1 / 3, rtol=1e-6)
