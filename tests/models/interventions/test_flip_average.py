"""The mean over both directions is exactly symmetric, whatever the network, at twice the passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.models.interventions.flip_average import MirrorAverage
from emsym.models.stem.symmetrize import symmetrize

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


@settings(max_examples=10, deadline=None)
@given(slices=st.sampled_from([1, 3, 5]), seed=st.integers(0, 99))
def test_a_stack_and_its_mirror_image_have_the_very_same_answer(slices: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(slices, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 2, 1)).eval()
    x = torch.randn(2, slices, 8, 10)
    average = MirrorAverage(model)
    with torch.no_grad():
        assert torch.equal(average(x), average(x.flip(1)))
        torch.testing.assert_close(average(x), (model(x) + model(x.flip(1))) / 2)


@pytest.mark.parametrize("slices", [3, 5])
def test_a_network_that_leans_does_not_when_averaged(slices: int) -> None:
    model = create_model("unet-tu-test_resnet", "random", slices=slices, seed=0).eval()
    x = torch.randn(1, slices, 64, 64)
    with torch.no_grad():
        assert (model(x) - model(x.flip(1))).abs().max() > 1e-3
        answer = MirrorAverage(model)(x)
        assert (answer - MirrorAverage(model)(x.flip(1))).abs().max() <= 1e-6 * answer.abs().max()


def test_weights_cannot_be_repaired_so() -> None:
    with pytest.raises(UserError, match="changes nothing in a network, but how it is used"):
        symmetrize(nn.Conv2d(3, 1, 3), "rgb+flip-average")
