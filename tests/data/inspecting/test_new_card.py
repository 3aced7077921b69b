"""A first card is guessed from the files, and nothing is written where that cannot be."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from emsym.data.cards import load_card
from emsym.data.inspecting.new_card import write_card
from emsym.data.phantoms import generate_phantom
from emsym.data.volume import open_volume
from emsym.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (10, 40, 36), np.uint8)
MASK = (IMAGE > 128).astype(np.uint8)
IDS = np.broadcast_to(1 + np.arange(40)[:, None] // 10 * 6 + np.arange(36) // 6, IMAGE.shape)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", IMAGE)
    return tmp_path


@pytest.mark.parametrize(
    ("labels", "foreground", "instances"),
    [
        (MASK, "object", "foreground"),
        (IMAGE % 3, "value-1", "foreground"),
        (IDS, "boundary", "between"),
        (np.where(IMAGE > 200, IMAGE, 0), "object", "foreground"),
    ],
    ids=["two values", "classes", "ids", "sparse ids"],
)
def test_the_task_is_told_by_the_values(
    folder: Path, labels: np.ndarray, foreground: str, instances: str
) -> None:
    np.save("labels.npy", labels)
    guesses = write_card(Path("my.toml"), "image.npy", "labels.npy")
    card = load_card(str(folder / "my.toml"))
    assert (card.task.foreground, card.task.instances) == (foreground, instances)
    assert card.split.ranges() == {"train": (0, 7), "test": (7, 10)}
    assert any("voxel size: unknown" in guess for guess in guesses)


def test_a_zipped_zarr_has_a_key(folder: Path) -> None:
    with zarr.storage.ZipStore("labels.zarr.zip", mode="w") as store:
        zarr.create_group(store).create_array("a/b", data=MASK)
    write_card(Path("my.toml"), "image.npy", "labels.zarr.zip:a/b")
    assert '"labels.zarr.zip", key = "a/b"' in (folder / "my.toml").read_text()


@pytest.mark.parametrize(
    ("path", "message"),
    [("my.card", "NAME.toml"), ("no/my.toml", "no folder no"), ("old.toml", "exists")],
)
def test_a_card_is_a_new_file_in_a_folder(folder: Path, path: str, message: str) -> None:
    (folder / "old.toml").write_text("mine")
    np.save("labels.npy", MASK)
    with pytest.raises(UserError, match=message):
        write_card(Path(path), "image.npy", "labels.npy")
    assert (folder / "old.toml").read_text() == "mine"
    assert sorted(each.name for each in folder.glob("my*")) == []


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        ("image.npy", "no.tif", r"no file no\.tif, which --labels names: check the path"),
        ("no.h5:raw", "image.npy", r"no file no\.h5, which --image names: check the path"),
        ("no/*.png", "image.npy", r"no file no/\*\.png, which --image names"),
    ],
)
def test_a_file_that_is_not_there_is_told_by_its_option(
    folder: Path, image: str, labels: str, message: str
) -> None:
    (folder / "cards").mkdir()
    with pytest.raises(UserError, match=message):
        write_card(Path("cards/my.toml"), image, labels)
    assert not list((folder / "cards").iterdir())


def test_folders_of_sections_are_taken_as_an_audit_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    phantom = generate_phantom("neurites", (8, 32, 48), 0)
    for name, volume in (("image", phantom.image), ("labels", phantom.semantic)):
        Path(name).mkdir()
        for z, section in enumerate(volume.astype(np.uint8)):
            tifffile.imwrite(Path(name) / f"{z:02}.tif", section)
    write_card(Path("my.toml"), "image", "labels/")
    card = load_card("my.toml")
    assert card.extent == (8, 32, 48)
    assert card.known_voxel_size is None
    np.testing.assert_array_equal(open_volume(card).read(0, 8).image, phantom.image)
