"""Weights find their network, and what the segmentation does not need is left out and told."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from audited_networks import NAME, loaded, network, same, stacks
from torch import nn

from emsym.auditing.built_network import build_network
from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


def test_an_auxiliary_head_is_left_out(tmp_path: Path) -> None:
    model = network()
    auxiliary = smp.create_model(
        "unet", "tu-test_resnet", encoder_weights=None, aux_params={"classes": 4}
    )
    auxiliary.load_state_dict(model.state_dict(), strict=False)
    state = {f"module.{name}": value for name, value in auxiliary.state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    found = loaded(tmp_path / "net.pt", NAME)
    same(found.model, model, stacks())
    assert found.notes == (
        "The weights of classification_head were left out: the segmentation has none.",
    )


def test_other_weights_are_never_left_out() -> None:
    state = network().state_dict() | {"decoder.aux_head.weight": torch.ones(1)}
    with pytest.raises(UserError, match=r"1 tensor unexpected \(decoder\.aux_head\.weight\)"):
        build_network(state, Path("net.pt"), NAME, ARCHITECTURES.get(NAME))


def test_a_head_that_the_network_has_must_be_whole() -> None:
    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.aux_head = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, 1)

    state = {name: each for name, each in WithHead().state_dict().items() if "bias" not in name}
    with pytest.raises(UserError, match=r"2 tensors missing \(stem\.bias, aux_head\.bias\)"):
        build_network(state, Path("net.pt"), "mine", WithHead)


def test_a_network_of_other_slices_than_the_weights() -> None:
    state = nn.Conv2d(3, 1, 1).state_dict()
    told = r"The weights of net\.pt are of 3 slices, and the network of 'mine' is of 5: .* for 3"
    with pytest.raises(UserError, match=told):
        build_network(state, Path("net.pt"), "mine", lambda: nn.Conv2d(5, 1, 1))

    class OfThree(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + x.view(-1, 3, *x.shape[2:]).sum(1)

    told = r"weights of net\.pt are of 5 slices, and .*'mine' is of 3\. The network cannot be made"
    state = nn.Conv2d(5, 1, 1).state_dict()
    with pytest.raises(UserError, match=told):
        build_network(state, Path("net.pt"), "mine", lambda: OfThree(3, 1, 1))


@pytest.mark.parametrize("slices", [3, 5])
def test_layers_that_take_their_size_from_the_first_input(slices: int) -> None:
    expected = nn.Sequential(nn.Conv2d(slices, 4, 3, padding=1), nn.BatchNorm2d(4)).eval()
    model, reads, _ = build_network(
        expected.state_dict(),
        Path("net.pt"),
        "mine",
        lambda: nn.Sequential(nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d()),
    )
    assert reads == slices
    same(model, expected, stacks(slices=slices))


def test_a_network_that_is_built_in_half_precision() -> None:
    expected = nn.Conv2d(3, 1, 1).half()
    model, _, _ = build_network(
        expected.state_dict(), Path("net.pt"), "mine", lambda: nn.Conv2d(3, 1, 1).half()
    )
    same(model, expected.float(), stacks())


def test_architectures_in_letters_of_either_case(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    assert loaded(tmp_path / "net.pt", "Unet-TU-test_ResNet").architecture == NAME
    with pytest.raises(UserError, match=r"'Unet' is a decoder, .* as 'unet-resnet34'"):
        loaded(tmp_path / "net.pt", "Unet")
