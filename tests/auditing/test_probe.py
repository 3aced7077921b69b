"""A network is probed without a trace, and told by what it answers."""

import pytest
import torch
from audited_networks import (  # noqa: F401 - fixtures
    NAME,
    Payload,
    export,
    loaded,
    network,
    pickled,
    rewritten,
    same,
    stacks,
)
from torch import Tensor, nn

from emsym.auditing.network import Called, Loaded
from emsym.auditing.probe import at_rest, check_takes_stacks, checked_output, slices_of
from emsym.errors import UserError
from emsym.scores.dense_logits import DenseLogits

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_audited_network_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(), nn.BatchNorm2d(4)).train()
    model[2].eval()
    model[0].weight.requires_grad_(False)
    with at_rest(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [m.training for m in model] == [True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


def test_slices_are_found_by_trying_where_no_weight_tells() -> None:
    def five(x: Tensor) -> Tensor:
        if x.shape[1] != 5:
            raise ValueError("five slices")
        return x[:, 2:3] - x[:, :1]

    assert slices_of(Loaded(Called(five), "five", "callable")) == 5
    with pytest.raises(UserError, match="runs on no stack of 3, 5, 7, 9, 1 slices"):
        slices_of(Loaded(Called(lambda x: x[:, 99:100].sum().reshape(-1)[3]), "none", "callable"))


def test_an_answer_that_changes_is_refused() -> None:
    noisy = DenseLogits(Called(lambda x: x[:, :1] + torch.randn_like(x[:, :1])))
    with pytest.raises(UserError, match="answers the same stack differently each time"):
        checked_output(noisy, torch.rand(1, 3, 32, 32))


def test_whether_gradients_lead_back_is_noted() -> None:
    for function, expected in (
        (lambda x: x[:, :1] * 2, True),
        (lambda x: x[:, :1].detach(), False),
    ):
        dense = DenseLogits(Called(function))
        answer = checked_output(dense, torch.rand(1, 3, 32, 32))
        assert answer.shape == (1, 1, 32, 32)
        assert dense.differentiable is expected


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_network_of_volumes_is_told_from_its_first_weights(batch_norm: bool) -> None:
    norm = [nn.BatchNorm3d(2)] if batch_norm else []
    model = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), *norm, nn.Conv3d(2, 1, 1)).eval()
    with pytest.raises(UserError, match="This is a 3D network"):
        checked_output(
            DenseLogits(model),
            torch.zeros(1, slices_of(Loaded(model, "volumes", "module")), 64, 64),
        )


def test_volumes_of_the_slices_of_a_stack_may_be_read() -> None:
    class AsVolume(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.across = nn.Conv3d(1, 1, (5, 3, 3), padding=(0, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.across(x[:, None])[:, 0]

    model = AsVolume().eval()
    assert slices_of(Loaded(model, "2.5D by 3D", "module")) == 5
    assert checked_output(DenseLogits(model), torch.rand(1, 5, 64, 64)).shape == (1, 1, 64, 64)


def test_a_network_that_has_no_weights_yet_is_told() -> None:
    with pytest.raises(UserError, match="and so no weights yet: run it on one stack first"):
        check_takes_stacks(nn.Sequential(nn.LazyConv2d(1, 3)))


def test_a_network_that_takes_more_than_a_stack_is_told() -> None:
    class Prompted(nn.Module):
        def forward(self, x: Tensor, points: Tensor, *, scale: float, more: int = 1) -> Tensor:
            return x

    with pytest.raises(UserError, match=r"more than a stack \(x, points, scale\)"):
        check_takes_stacks(Prompted())
    with pytest.raises(UserError, match=r"more than a stack \(x, y\)"):
        check_takes_stacks(Called(lambda x, y: x))  # type: ignore[arg-type, misc]
    for fine in (nn.DataParallel(Prompted()), Called(lambda *x: x[0]), Called(torch.sigmoid)):
        check_takes_stacks(fine)
