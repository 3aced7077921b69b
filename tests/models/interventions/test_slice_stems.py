"""Stems that read every slice by one convolution: one fuses the sides alike, one as it likes."""

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.models.interventions.slice_stems import AsymmetricStem, SharedStem, replace_stem
from emsym.models.stem.find import find_stem

pytestmark = pytest.mark.numerical


def stem(slices=3, bias=True):
    torch.manual_seed(0)
    return nn.Conv2d(slices, 6, 3, stride=2, padding=1, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("slices", [1, 3, 5])
@pytest.mark.parametrize("kind", [SharedStem, AsymmetricStem])
def test_it_starts_as_a_uniform_stem_of_the_mean(kind: type, slices: int, bias: bool) -> None:
    plain, x = stem(slices, bias), torch.randn(2, slices, 16, 16)
    replaced = kind(plain)
    with torch.no_grad():
        plain.weight.copy_(plain.weight.mean(1, keepdim=True).expand_as(plain.weight))
    torch.testing.assert_close(replaced(x), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slices", [3, 5])
def test_a_shared_stem_is_symmetric_whatever_its_weights_and_tells_how_far_sides_differ(
    slices: int,
) -> None:
    shared, x = SharedStem(stem(slices)), torch.randn(2, slices, 16, 16)
    before = shared(x)
    with torch.no_grad():
        for weight in shared.parameters():
            weight.copy_(torch.randn_like(weight))
    torch.testing.assert_close(shared(x), shared(x.flip(1)), rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        for each in shared.differences:
            each.weight.zero_()
    plain = shared(x)
    with torch.no_grad():
        shared.differences[0].weight.fill_(1)
    assert not torch.allclose(shared(x), plain)
    assert before.shape == plain.shape


def test_an_asymmetric_stem_can_weigh_one_slice_alone() -> None:
    free, x = AsymmetricStem(stem(bias=False)), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        free.fusion.copy_(torch.tensor([1.0, 0, 0]).expand(6, 3))
    torch.testing.assert_close(free(x), free.convolution(x[:, :1]))
    assert not torch.allclose(free(x), free(x.flip(1)))


def test_all_of_its_weights_are_trained() -> None:
    for init in ("rgb+shared-stem", "rgb+a3d"):
        model = create_model("linknet-tu-test_efficientnet", init)
        names = {name for name, _ in model.named_parameters()}
        model(torch.randn(2, 3, 64, 64)).square().mean().backward()
        grads = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        added = {n for n in names if "fusion" in n or "differences" in n or "convolution" in n}
        assert added
        assert added <= grads


class _Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) + self.other(x)


def test_a_stem_of_two_branches_is_refused_in_a_sentence() -> None:
    model = _Branches()
    with pytest.raises(UserError, match="'a3d' replaces a stem that is one convolution"):
        replace_stem(model, find_stem(model), AsymmetricStem, "a3d")
