"""The same array comes back from every format, and each bad input is one plain sentence."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from emsym.data.cards import Card, load_card
from emsym.data.volume import open_volume
from emsym.errors import UserError

SHAPE = (12, 40, 36)
PATCH = 32
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, SHAPE).astype(np.uint8)
LABELS = RNG.integers(0, 3, SHAPE).astype(np.uint8)


def png_series(folder, array):
    folder.mkdir()
    for z, section in enumerate(array):
        Image.fromarray(section).save(folder / f"s{z}.png")
    return f"{folder.name}/*.png"


def tiff_series(folder, array):
    folder.mkdir()
    for z, section in enumerate(array):
        tifffile.imwrite(folder / f"s{z}.tif", section)
    return f"{folder.name}/*.tif"


def tiff_stack(folder, array):
    tifffile.imwrite(folder.with_suffix(".tif"), array)
    return f"{folder.name}.tif"


def tiff_pages(folder, array):
    first, *others = (Image.fromarray(section) for section in array)
    first.save(folder.with_suffix(".tiff"), save_all=True, append_images=others)
    return f"{folder.name}.tiff"


def tiff_appended(folder, array):
    for section in array:
        tifffile.imwrite(folder.with_suffix(".tif"), section, append=True)
    return f"{folder.name}.tif"


def npy(folder, array):
    np.save(folder.with_suffix(".npy"), array)
    return f"{folder.name}.npy"


def hdf5(folder, array, key="volumes/raw"):
    with h5py.File(folder.with_suffix(".h5"), "w") as file:
        file[key] = array
    return f"{folder.name}.h5"


def make(folder, image, labels, *, instances=None, foreground="> 0", train=(0, 7), test=(7, 12)):
    """A card over files in `folder`; files are a path or a dict with path and key."""
    content = {
        "name": "cells",
        "title": "Cells",
        "modality": "TEM",
        "voxel_size_nm": [40, 4, 4],
        "licence": "CC0-1.0",
        "task": {"name": "cells", "foreground": foreground, "instances": "foreground"},
        "split": {"train": list(train), "test": list(test)},
    }
    sources = {"image": image, "labels": labels, "instances": instances}
    for role, files in sources.items():
        if files is not None:
            content[role] = {"path": files} if isinstance(files, str) else files
    lines = [f"{key} = {_toml(value)}" for key, value in content.items() if _plain(value)]
    for key, value in content.items():
        if not _plain(value):
            lines += [f"[{key}]", *(f"{inner} = {_toml(v)}" for inner, v in value.items())]
    path = folder / "cells.toml"
    path.write_text("\n".join(lines))
    return load_card(str(path))


def _plain(value):
    return not isinstance(value, dict)


def _toml(value):
    return f'"{value}"' if isinstance(value, str) else str(value)


def refusal(card: Card, slices=3, patch=PATCH) -> str:
    """The one sentence with which a card's volume is refused."""
    with pytest.raises(UserError) as caught:
        open_volume(card, slices, patch)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [png_series, tiff_series, tiff_stack, tiff_pages, npy])
def test_every_format_gives_the_array_back(tmp_path, write):
    card = make(tmp_path, write(tmp_path / "image", IMAGE), write(tmp_path / "labels", LABELS))
    volume = open_volume(card, 3, PATCH)
    np.testing.assert_array_equal(volume.image, IMAGE)
    assert volume.image.dtype == np.uint8
    np.testing.assert_array_equal(volume.foreground, LABELS > 0)
    assert volume.foreground.dtype == bool
    assert volume.instances is None


def test_tiff_written_section_by_section_is_read_whole(tmp_path):
    labels = npy(tmp_path / "labels", LABELS)
    card = make(tmp_path, tiff_appended(tmp_path / "image", IMAGE), labels)
    np.testing.assert_array_equal(open_volume(card, 3, PATCH).image, IMAGE)


@pytest.mark.parametrize("key", ["raw", "volumes/raw"])
def test_hdf5_gives_the_data_set_at_the_key(tmp_path, key):
    image = {"path": hdf5(tmp_path / "image", IMAGE, key), "key": key}
    card = make(tmp_path, image, npy(tmp_path / "labels", LABELS))
    np.testing.assert_array_equal(open_volume(card, 3, PATCH).image, IMAGE)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("int16", "float32"), ("float64", "float32")],
)
def test_grey_values_survive_whatever_their_type(tmp_path, dtype, kept):
    image = IMAGE.astype(dtype) * (7 if dtype != "uint8" else 1)
    card = make(tmp_path, npy(tmp_path / "image", image), npy(tmp_path / "labels", LABELS))
    volume = open_volume(card, 3, PATCH)
    np.testing.assert_array_equal(volume.image, image)
    assert volume.image.dtype == kept


def test_masks_of_mixed_bit_depth_are_read_alike(tmp_path):
    mask = LABELS > 0
    (tmp_path / "labels").mkdir()
    for z, section in enumerate(mask):
        grey = section if z % 2 else section.astype(np.uint8) * (255 if z % 3 else 1)
        Image.fromarray(grey).save(tmp_path / "labels" / f"{z}.png")
    depths = {Image.open(path).mode for path in (tmp_path / "labels").iterdir()}
    assert depths == {"1", "L"}
    card = make(tmp_path, npy(tmp_path / "image", IMAGE), "labels/*.png")
    np.testing.assert_array_equal(open_volume(card, 3, PATCH).foreground, mask)


def test_instances_of_the_card_are_kept(tmp_path):
    instances = RNG.integers(0, 9, SHAPE).astype(np.uint32)
    files = [npy(tmp_path / n, a) for n, a in (("i", IMAGE), ("l", LABELS), ("n", instances))]
    volume = open_volume(make(tmp_path, files[0], files[1], instances=files[2]), 3, PATCH)
    np.testing.assert_array_equal(volume.instances, instances)
    np.testing.assert_array_equal(volume.range(3, 5).instances, instances[3:5])
    np.testing.assert_array_equal(volume.range(3, 5).foreground, LABELS[3:5] > 0)


def test_phantom_comes_with_its_instances():
    card = load_card("phantom-neurites")
    volume = open_volume(card, 3, 128)
    assert volume.image.shape == card.phantom.shape
    np.testing.assert_array_equal(volume.foreground, volume.instances == 0)


# --- refusing: shapes and values ------------------------------------------------------------------


@pytest.mark.parametrize("role", ["labels", "instances"])
def test_other_shape_than_the_image_is_refused(tmp_path, role):
    arrays = {"image": IMAGE, "labels": LABELS, "instances": LABELS}
    arrays[role] = LABELS[:, 1:]
    files = {name: npy(tmp_path / name, array) for name, array in arrays.items()}
    message = refusal(make(tmp_path, **files))
    assert role in message
    assert "(12, 39, 36)" in message
    assert "(12, 40, 36)" in message


@pytest.mark.parametrize("write", [png_series, tiff_series, npy])
def test_flat_file_is_refused(tmp_path, write):
    flat = IMAGE[0] if write is npy else IMAGE[:1]  # a series of one section is one flat file
    card = make(tmp_path, write(tmp_path / "image", flat), npy(tmp_path / "labels", LABELS))
    assert "2-dimensional, (40, 36)" in refusal(card)


def test_colour_section_is_refused_by_its_name(tmp_path):
    image = png_series(tmp_path / "image", IMAGE)
    Image.fromarray(np.stack([IMAGE[4]] * 3, axis=-1)).save(tmp_path / "image" / "s4.png")
    message = refusal(make(tmp_path, image, npy(tmp_path / "labels", LABELS)))
    assert "s4.png" in message
    assert "grey" in message


def test_single_colour_section_is_refused(tmp_path):
    Image.fromarray(np.stack([IMAGE[4]] * 3, axis=-1)).save(tmp_path / "image.png")
    refusal(make(tmp_path, "image.png", npy(tmp_path / "labels", LABELS)))


@pytest.mark.parametrize("write", [png_series, tiff_series])
def test_sections_of_unlike_shape_are_refused(tmp_path, write):
    sections = [section if z != 10 else section[1:] for z, section in enumerate(IMAGE)]
    message = refusal(make(tmp_path, write(tmp_path / "image", sections), "image/*"))
    assert "s10." in message
    assert "(39, 36)" in message
    assert "(40, 36)" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    image = IMAGE.astype(np.float32)
    image[3, 2, 1] = value
    card = make(tmp_path, npy(tmp_path / "image", image), npy(tmp_path / "labels", LABELS))
    assert "NaN or infinite" in refusal(card)


@pytest.mark.parametrize("role", ["labels", "instances"])
def test_labels_that_are_not_finite_are_refused(tmp_path, role):
    arrays = {"image": IMAGE, "labels": LABELS, "instances": LABELS}
    arrays[role] = arrays[role].astype(np.float32)
    arrays[role][3, 2, 1] = np.nan
    files = {name: npy(tmp_path / name, array) for name, array in arrays.items()}
    assert role in refusal(make(tmp_path, **files))


def test_values_too_large_for_single_precision_are_refused(tmp_path):
    image = IMAGE.astype(np.float64)
    image[3, 2, 1] = 1e300
    card = make(tmp_path, npy(tmp_path / "image", image), npy(tmp_path / "labels", LABELS))
    refusal(card)


def test_text_instead_of_numbers_is_refused(tmp_path):
    words = np.full(SHAPE, "a")
    card = make(tmp_path, npy(tmp_path / "image", words), npy(tmp_path / "labels", LABELS))
    assert "does not hold numbers" in refusal(card)


def test_section_smaller_than_the_patch_is_refused(tmp_path):
    card = make(tmp_path, npy(tmp_path / "image", IMAGE), npy(tmp_path / "labels", LABELS))
    message = refusal(card, patch=64)
    assert "40 × 36" in message
    assert "64 × 64" in message


# --- refusing: files ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "raw", "volumes"])
def test_hdf5_without_the_key_lists_what_is_there(tmp_path, key):
    path = hdf5(tmp_path / "image", IMAGE, "volumes/grey")
    with h5py.File(tmp_path / "image.h5", "a") as file:
        file["other"] = LABELS
    image = {"path": path} if key is None else {"path": path, "key": key}
    message = refusal(make(tmp_path, image, npy(tmp_path / "labels", LABELS)))
    assert "volumes/grey" in message
    assert "other" in message


def test_hdf5_text_is_refused(tmp_path):
    image = {"path": hdf5(tmp_path / "image", "some words", "raw"), "key": "raw"}
    refusal(make(tmp_path, image, npy(tmp_path / "labels", LABELS)))


@pytest.mark.parametrize("content", ["empty", "garbage", "half"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".h5"])
def test_damaged_file_is_named(tmp_path, suffix, content):
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".png":
        Image.fromarray(IMAGE[0]).save(whole)
    else:
        {".tif": tiff_stack, ".npy": npy, ".h5": hdf5}[suffix](tmp_path / "whole", IMAGE)
    data = whole.read_bytes()
    damaged = {"empty": b"", "garbage": b"not an image " * 99, "half": data[: len(data) // 2]}
    (tmp_path / f"image{suffix}").write_bytes(damaged[content])
    image = {"path": f"image{suffix}", "key": "volumes/raw"}
    message = refusal(make(tmp_path, image, npy(tmp_path / "labels", LABELS)))
    assert f"image{suffix} cannot be read" in message


def test_unknown_kind_of_file_lists_the_known(tmp_path):
    (tmp_path / "image.mrc").write_bytes(IMAGE.tobytes())
    message = refusal(make(tmp_path, "image.mrc", npy(tmp_path / "labels", LABELS)))
    assert "image.mrc" in message
    assert ".tif" in message
    assert ".npy" in message


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_array_is_refused_and_never_run(tmp_path):
    trace = tmp_path / "trace"
    array = np.empty(1, object)
    array[0] = Intruder(trace)
    np.save(tmp_path / "image.npy", array, allow_pickle=True)
    assert "image.npy" in refusal(make(tmp_path, "image.npy", npy(tmp_path / "labels", LABELS)))
    assert not trace.exists()
    pickle.loads(pickle.dumps(Intruder(trace)))  # it would have been seen
    assert trace.exists()


# --- refusing: splits -----------------------------------------------------------------------------


def test_split_past_the_end_is_refused(tmp_path):
    files = npy(tmp_path / "image", IMAGE), npy(tmp_path / "labels", LABELS)
    message = refusal(make(tmp_path, *files, test=(7, 13)))
    assert "test split" in message
    assert "section 13" in message
    assert "12 sections" in message


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_split_of_just_one_stack_is_enough_and_less_is_refused(tmp_path, slices):
    files = npy(tmp_path / "image", IMAGE), npy(tmp_path / "labels", LABELS)
    card = make(tmp_path, *files, train=(0, slices), test=(7, 12))
    assert open_volume(card, slices, PATCH).image.shape == SHAPE
    message = refusal(card, slices=slices + 2)
    assert "train split" in message
    assert f"{slices} sections" in message


@pytest.mark.parametrize(("value", "told"), [(0, "without foreground"), (1, "all foreground")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_split_of_one_class_is_refused(tmp_path, split, value, told):
    labels = LABELS.copy()
    labels[{"train": slice(0, 7), "test": slice(7, 12)}[split]] = value
    card = make(tmp_path, npy(tmp_path / "image", IMAGE), npy(tmp_path / "labels", labels))
    message = refusal(card)
    assert f"{split} split" in message
    assert told in message
