"""Which weights an encoder of a protocol gets: a name, a file, or its own file of a folder."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.models.pretrained.chosen_weights import (
    ChosenWeights,
    choose_weights,
    encoder_file,
    has_file_per_encoder,
)
from emsym.models.pretrained.hub import WEIGHTS_DIR

ENCODER = "tu-mobilenetv2_100"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of two encoders, which nothing here reads."""
    monkeypatch.delenv(WEIGHTS_DIR, raising=False)
    place = tmp_path / "weights"
    place.mkdir()
    (place / "mobilenetv2_100.safetensors").write_bytes(b"mobile")
    (place / "resnet18.pt").write_bytes(b"eighteen")
    return place


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("weights", ["weights/", "weights"])
def test_each_encoder_gets_its_own_file_of_a_folder(folder: Path, weights: str) -> None:
    for encoder, name, content in (
        (ENCODER, "mobilenetv2_100.safetensors", b"mobile"),
        ("resnet18", "resnet18.pt", b"eighteen"),
        ("tu-resnet18", "resnet18.pt", b"eighteen"),
    ):
        chosen = choose_weights(weights, folder.parent, encoder)
        assert chosen == ChosenWeights("weights/", folder / name)
        assert (chosen.source, chosen.identity) == (str(folder / name), sha(content))


def test_a_file_of_the_whole_name_comes_first(folder: Path) -> None:
    (folder / "tu-resnet18.pt").write_bytes(b"timm's")
    assert encoder_file(folder, "tu-resnet18") == folder / "tu-resnet18.pt"
    assert encoder_file(folder, "resnet18") == folder / "resnet18.pt"


def test_imagenet_is_looked_for_in_the_named_folder_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_weights("imagenet", folder, ENCODER).identity == "imagenet"
    monkeypatch.setenv(WEIGHTS_DIR, str(folder))
    chosen = choose_weights("imagenet", Path(), ENCODER)
    assert (chosen.origin, chosen.identity) == ("imagenet", sha(b"mobile"))
    other = choose_weights("imagenet", Path(), "resnet50")
    assert (other.source, other.identity) == ("imagenet", "imagenet")
    for named in ("pretext", "resnet50.a1_in1k"):  # of which there is but one
        assert choose_weights(named, Path(), "resnet50").identity == named


def test_planning_knows_names_by_their_form_and_imports_neither_torch_nor_timm() -> None:
    names = ["pretext", "imagenet", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"]
    code = (
        "import sys; from pathlib import Path;"
        "from emsym.models.pretrained.chosen_weights import choose_weights;"
        f"print([choose_weights(n, Path(), 'resnet50').identity for n in {names}] == {names},"
        "{'torch', 'timm', 'huggingface_hub', 'requests'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"


def test_a_single_file_is_known_by_its_content(folder: Path) -> None:
    (folder / "copy.pt").write_bytes(b"eighteen")
    one, other = (
        choose_weights(name, folder, "any network") for name in ("resnet18.pt", "copy.pt")
    )
    assert one.identity == other.identity == sha(b"eighteen")
    assert (one.origin, other.origin) == ("resnet18.pt", "copy.pt")


@pytest.mark.parametrize(
    ("weights", "encoder", "said"),
    [
        ("weights/", "tu-resnet50", r"no weights of 'tu-resnet50': put a file resnet50\.safe"),
        ("absent/", ENCODER, "There is no folder .*absent of weights"),
        ("absent.pt", ENCODER, "There are no weights 'absent.pt'"),
        ("weights/", "tu-../weights/resnet18", "no weights of"),
    ],
)
def test_what_is_not_there_is_said(folder: Path, weights: str, encoder: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose_weights(weights, folder.parent, encoder)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / "resnet18.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match=r"resnet18\.safetensors and resnet18\.pt: leave one"):
        choose_weights("weights/", folder.parent, "resnet18")


def test_a_wrong_environment_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_DIR, "/no/such/folder")
    with pytest.raises(UserError, match="EMSYM_WEIGHTS_DIR names /no/such/folder"):
        choose_weights("imagenet", Path(), ENCODER)


def test_names_and_files_are_told_apart_by_their_origin() -> None:
    origins = ("imagenet", "weights/", "pretext", "resnet50.a1_in1k", "own.safetensors")
    assert [has_file_per_encoder(each) for each in origins] == [True, True, False, False, False]
