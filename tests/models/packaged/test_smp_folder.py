"""A folder of segmentation-models-pytorch gives the network that it was saved from."""

from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from audited_networks import loaded, same, stacks

from emsym.errors import UserError
from emsym.models.packaged.smp_folder import smp_package

CONFIG = {"_model_class": "Linknet", "encoder_name": "tu-test_resnet", "encoder_weights": "x"}


def package(weights: Path, **changes: Any) -> Any:
    return smp_package(CONFIG | changes, weights.parent / "config.json", weights)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("saved")
    model = smp.Unet(
        *("tu-test_resnet", 4),
        encoder_weights=None,
        decoder_channels=(16, 12, 8, 8),
        in_channels=5,
        classes=2,
        activation="sigmoid",
        aux_params={"classes": 3},
    ).eval()
    model.save_pretrained(path)
    return model, path


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_the_network_is_that_which_was_saved(folder: tuple, name: str) -> None:
    model, path = folder
    found = loaded(path / name)
    assert (found.kind, found.slices, found.architecture) == ("state dict", 5, None)
    assert found.path == str(path / name)
    model.segmentation_head[2] = torch.nn.Identity()  # the logits are looked at
    model.classification_head = None
    same(found.model, model, stacks(slices=5))
    assert found.notes == (
        "The weights of classification_head were left out: the segmentation has none.",
    )
    [option] = found.options
    assert option.values == {"activation": "sigmoid", "probabilities": None}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"_model_class": "create_model"}, "names the class create_model, and segmentation-models"),
        ({"_model_class": ["Unet"]}, "names the class"),
        ({"encoder_name": "tu-hf-hub:someone/network"}, "no encoder 'tu-hf-hub:someone/network'"),
        ({"checkpoint_path": "/etc/passwd"}, "options that Linknet does not, checkpoint_path"),
        ({"activation": "argmax2d"}, "the activation argmax2d"),
        ({"activation": ["sigmoid"]}, "the activation"),
    ],
)
def test_what_leads_elsewhere_is_refused(changes: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        package(tmp_path / "model.safetensors", **changes)


def test_a_description_of_another_network_is_told(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(10))
    with pytest.raises(UserError, match="parameters, more than"):
        package(weights).factory()
    with pytest.raises(UserError, match="cannot be built"):
        package(weights, encoder_depth=99).factory()
