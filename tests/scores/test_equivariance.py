"""A method's own asymmetry, on a network that has none, and of a size that is known."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.interventions.flip_average import MirrorAverage
from emsym.scores.attribution.methods import ATTRIBUTIONS, register_attribution
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.equivariance import deviation, equivariance
from emsym.scores.shapley import slice_shapley

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
MASK = X[:, 1] > 0
WEIGHTS = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)


@pytest.fixture(scope="module")
def dense(one_thread: None) -> DenseLogits:
    """A network that treats every slice differently, of modules that all methods know."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
    ).append(nn.Conv2d(4, 1, 1))
    return DenseLogits(network.eval())


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    @register_attribution("slice-number")
    def slice_number(dense, x, mask):
        """The number of the slice, whatever it holds."""
        return WEIGHTS.expand_as(x)

    @register_attribution("not-when-symmetric")
    def not_when_symmetric(dense, x, mask):
        if isinstance(dense.model, MirrorAverage):
            raise UserError("It explains no such network.")
        return x

    yield
    for name in ("slice-number", "not-when-symmetric"):
        ATTRIBUTIONS._entries.pop(name)


def test_the_average_is_symmetric_to_the_last_bit_and_the_mean_of_both(dense: DenseLogits) -> None:
    average = MirrorAverage(dense.model)
    with torch.no_grad():
        assert torch.equal(average(X), average(X.flip(1)))
        expected = (dense.model(X) + dense.model(X.flip(1))) / 2
        torch.testing.assert_close(average(X), expected)
        assert not torch.allclose(dense.model(X), dense.model(X.flip(1)), atol=1e-3)


def test_methods_without_noise_are_equivariant_up_to_rounding(dense: DenseLogits) -> None:
    noisy, slow = "smoothgrad", "patch-occlusion"
    names = [
        name
        for name, entry in ATTRIBUTIONS._entries.items()
        if name not in (noisy, slow, "slice-number", "not-when-symmetric")
    ]
    assert {"saliency", "input-x-gradient", "integrated-gradients", "lrp", "deeplift"} < set(names)
    result = equivariance(dense, X, MASK, names)
    assert not result.refused
    assert list(result.deviation) == names
    for name, values in result.deviation.items():
        assert values.shape == (2,)
        assert values.max() < 1e-6, name


def test_noise_that_is_drawn_for_places_is_not_reversed_with_the_stack(dense: DenseLogits) -> None:
    (values,) = equivariance(dense, X, MASK, ["smoothgrad"]).deviation.values()
    assert values.min() > 1e-3


def test_slice_shapley_is_equivariant(dense: DenseLogits) -> None:
    symmetric = DenseLogits(MirrorAverage(dense.model))
    there, _ = slice_shapley(symmetric, X, MASK[None])
    back, _ = slice_shapley(symmetric, X.flip(1), MASK[None])
    np.testing.assert_allclose(back[..., ::-1], there, rtol=1e-9)
    assert np.ptp(there) > 0


def test_known_deviation_of_a_method_that_numbers_the_slices(dense: DenseLogits) -> None:
    phases = []
    result = equivariance(dense, X, MASK, ["slice-number"], progress=lambda *at: phases.append(at))
    # mirror A(x) is 3 2 1 and A(mirror x) 1 2 3: √(4 + 0 + 4) / √(1 + 4 + 9)
    assert result.deviation["slice-number"].tolist() == pytest.approx([(8 / 14) ** 0.5] * 2)
    assert phases == [("Made symmetric", 0, 1), ("Made symmetric", 1, 1)]


def test_a_method_that_is_not_defined_on_the_symmetric_network(dense: DenseLogits) -> None:
    result = equivariance(dense, X, MASK, ["not-when-symmetric", "saliency"])
    assert result.refused == {"not-when-symmetric": "It explains no such network."}
    assert list(result.deviation) == ["saliency"]


def test_deviation_is_missing_where_a_map_is_nothing_or_not_finite() -> None:
    one = torch.ones(4, 3, 2, 2)
    one[1], one[2, 0, 0, 0], other = 0, torch.inf, torch.ones(4, 3, 2, 2)
    other[3, 0, 0, 0] = torch.nan
    values = deviation(one, other)
    assert values.dtype == torch.float64
    assert values[0] == 0
    assert values[1:].isnan().all()


def test_deviation_keeps_the_sign_and_the_size() -> None:
    assert deviation(X, -X.flip(1)).tolist() == pytest.approx([2, 2])
    assert deviation(X, 3 * X.flip(1)).tolist() == pytest.approx([2, 2])
