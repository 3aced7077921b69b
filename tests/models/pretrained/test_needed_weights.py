"""What the encoders of a protocol get: found, held against the encoder, put into a folder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from weights_files import save, whole_state

from emsym.errors import UserError
from emsym.models.pretrained import needed_weights as room
from emsym.models.pretrained.needed_weights import needed_weights, put_encoder_file

NETWORKS = ("linknet-tu-test_resnet", "unet-tu-test_resnet", "fpn-tu-test_efficientnet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "weights"
    place.mkdir()
    save(whole_state("test_resnet"), place / "test_resnet.safetensors")
    save(whole_state("test_efficientnet"), place / "tu-test_efficientnet.pt")
    return place


def test_each_encoder_is_there_once_and_its_file_fits(folder: Path) -> None:
    needed = needed_weights("imagenet", Path(), NETWORKS, folder)
    files = {each.encoder: each.file() for each in needed}
    assert files == {
        "tu-test_resnet": folder / "test_resnet.safetensors",
        "tu-test_efficientnet": folder / "tu-test_efficientnet.pt",
    }
    assert len({each.load().digest for each in needed}) == 2
    assert needed_weights("pretext", Path(), NETWORKS)[0].file() is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "1 tensor missing"),
        (lambda state: state.update(more=torch.zeros(1)), "1 tensor unexpected"),
        (lambda state: state["layer1.0.conv1.weight"].fill_(torch.nan), "are not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_told(folder: Path, damage, said: str) -> None:
    path = folder / "test_resnet.safetensors"
    state = load_file(path)
    damage(state)
    save_file(state, path)
    (each,) = needed_weights("weights/", folder.parent, NETWORKS[:2])
    with pytest.raises(UserError, match=f"{path.name}.* {said}"):
        each.load()


def test_a_folder_is_filled_from_another_one_and_left_as_it_is_where_it_has_them(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "new" / "folder"
    path = put_encoder_file("tu-test_resnet", "imagenet", other, folder)
    assert path == other / "test_resnet.safetensors"
    assert path.read_bytes() == (folder / path.name).read_bytes()
    path.write_bytes(b"mine")
    assert put_encoder_file("tu-test_resnet", "imagenet", other, folder).read_bytes() == b"mine"
    with pytest.raises(UserError, match="has no weights of 'resnet50'"):
        put_encoder_file("resnet50", "imagenet", other, folder)
    assert len([*other.iterdir()]) == 1


def test_what_the_hub_has_is_named_as_its_encoder_and_keeps_its_tensors(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = save(whole_state("test_resnet"), tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(room, "published_weights", lambda *asked: (str(asked), hub))
    other = tmp_path / "other"
    path = put_encoder_file("tu-test_resnet", "imagenet", other)
    assert path == other / "tu-test_resnet.safetensors"
    given = torch.load(hub)
    assert all(torch.equal(value, given[name]) for name, value in load_file(path).items())


def test_a_file_named_as_another_librarys_encoder_is_not_taken_for_timms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "model.safetensors"
    hub.write_bytes(b"timm's")
    monkeypatch.setattr(room, "published_weights", lambda *asked: (str(asked), hub))
    (tmp_path / "resnet18.safetensors").write_bytes(b"torchvision's")
    assert put_encoder_file("tu-resnet18", "imagenet", tmp_path).read_bytes() == b"timm's"
    assert put_encoder_file("resnet18", "imagenet", tmp_path).read_bytes() == b"torchvision's"
