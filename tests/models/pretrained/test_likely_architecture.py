"""The architecture of weights is proposed where their tensors or their settings tell it."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emsym.models.architectures import SmpFactory
from emsym.models.encoder_survey import build_on_meta
from emsym.models.encoders import encoders
from emsym.models.pretrained.checkpoint import Checkpoint, read_checkpoint
from emsym.models.pretrained.likely_architecture import architecture_option

UNKNOWN = {"0.weight": torch.zeros(1, 3, 1, 1)}


def option(state: dict, **settings: object) -> str:
    content = {"state_dict": state, "hyper_parameters": settings}
    return architecture_option(Checkpoint(Path("net.ckpt"), content, ("state_dict",), state))


def network(decoder: str, encoder: str, classes: int = 1) -> dict[str, torch.Tensor]:
    state = build_on_meta(lambda: SmpFactory(decoder, encoder)(classes)).state_dict()
    return {f"model.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("decoder", ["unet", "fpn"])
def test_tensors_tell_the_network_whatever_its_slices_and_classes(decoder: str) -> None:
    state = network(decoder, "resnet18", classes=4)
    told = f"--architecture {decoder}-resnet18, as its tensors have the same names and shapes"
    assert option(state, arch="manet", encoder="resnet50") == told
    five = {"model.encoder.conv1.weight": torch.zeros(64, 5, 7, 7)}
    assert option(state | five) == told


def test_an_encoder_is_told_where_the_decoder_is_none_of_those_known() -> None:
    state = network("unet", "resnet18")
    state["model.decoder.more"] = torch.zeros(1)
    assert option(state).startswith("--architecture DECODER-resnet18, an encoder that its tensors")
    state["model.encoder.more"] = torch.zeros(1)
    assert option(state) == "--architecture, such as unet-resnet34"


def test_networks_with_the_same_tensors_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [name for name in encoders() if name.endswith("efficientnet_b0")]
    few = {name: replace(encoders()[name], decoders={"linknet": 64}) for name in alike}
    monkeypatch.setattr("emsym.models.pretrained.likely_architecture.encoders", lambda: few)
    told = option(network("linknet", "tu-efficientnet_b0"))
    both = "linknet-tu-efficientnet_b0 or linknet-tu-tf_efficientnet_b0"
    assert told == f"--architecture {both}, as its tensors fit all of these"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"arch": "DeepLabV3Plus", "encoder_name": "resnet50"},
            "--architecture deeplabv3plus-resnet50, as its 'hyper_parameters' say",
        ),
        ({"model": {"backbone": "resnet50"}}, "--architecture DECODER-resnet50, an encoder"),
        ({"arch": "Unet", "lr": 1e-3, "optimizer": "AdamW"}, "--architecture, such as"),
        ({"a": "resnet18", "b": "resnet50", "arch": "unet"}, "--architecture, such as"),
    ],
)
def test_settings_tell_it_where_tensors_do_not(settings: dict, told: str) -> None:
    assert option(UNKNOWN, **settings).startswith(told)


def test_settings_may_be_an_object_that_is_not_unpickled(tmp_path: Path) -> None:
    arguments = argparse.Namespace(arch="Unet", encoder_name="resnet18", lr=0.1)
    torch.save({"state_dict": UNKNOWN, "args": arguments}, tmp_path / "net.pt")
    told = architecture_option(read_checkpoint(tmp_path / "net.pt"))
    assert told == "--architecture unet-resnet18, as its 'args' say"
