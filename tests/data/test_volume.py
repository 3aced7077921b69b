"""What a card says is what is read, in any order and any number of files; or one plain sentence."""

import itertools
import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from emsym.data.cards import Card, load_card
from emsym.data.fetching.data_digest import data_digest
from emsym.data.labels import boundaries
from emsym.data.phantoms import generate_phantom
from emsym.data.reading import lazy_array
from emsym.data.reading.rows import Rows
from emsym.data.volume import check_split, check_volume, open_volume
from emsym.errors import UserError

SHAPE = (12, 40, 36)
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, SHAPE).astype(np.uint8)
LABELS = RNG.integers(0, 3, SHAPE).astype(np.uint8)
IDS = RNG.integers(0, 9, SHAPE).astype(np.uint32)
CLASSES = {"matrix": "== 0", "fibre": "== 1", "pore": "== 2"}
AXES = ["".join(order) for order in itertools.permutations("zyx")]


def npy(path, array):
    np.save(path.with_suffix(".npy"), array)
    return f"{path.name}.npy"


def hdf5(path, array, **how):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("raw", data=array, **how)
    return {"path": f"{path.name}.h5", "key": "raw"}


def tiff(path, array):
    tifffile.imwrite(path.with_suffix(".tif"), array)
    return f"{path.name}.tif"


def png_series(path, array):
    path.mkdir()
    for z, section in enumerate(array):
        Image.fromarray(section).save(path / f"s{z}.png")
    return f"{path.name}/*.png"


def tiff_series(path, array):
    path.mkdir()
    for z, section in enumerate(array):
        tifffile.imwrite(path / f"s{z}.tif", section)
    return f"{path.name}/*.tif"


def zip_of_png(path, array):
    png_series(path, array)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for file in path.iterdir():
            archive.write(file, f"data/{file.name}")
    return f"{path.name}.zip/data/*.png"


def make(folder, arrays=None, write=npy, task=None, **card) -> Card:
    """A card over files in `folder`: of `arrays` by name, which are what to write or say."""
    arrays = {"image": IMAGE, "labels": LABELS} | (arrays or {})
    stored = {
        name: write(folder / name, value) if isinstance(value, np.ndarray) else value
        for name, value in arrays.items()
    }
    files = {
        name: value if isinstance(value, dict) else {"path": value}
        for name, value in stored.items()
    }
    rule = {"classes": CLASSES, "foreground": "fibre", "instances": "foreground"}
    if "ids" in files:
        rule["ids"] = "ids"
    content = {
        "name": "cells",
        "title": "Cells",
        "modality": "TEM",
        "voxel_size_nm": [40, 4, 4],
        "licence": "CC0-1.0",
        "split": {"train": [0, 7], "test": [7, 12]},
        "tasks": {"fibres": {"labels": "labels", **rule, **(task or {})}},
        "sources": {"here": {"image": files.pop("image"), "labels": files}},
    } | card
    path = folder / "cells.toml"
    path.write_text("\n".join(f"{key} = {_toml(value)}" for key, value in content.items()))
    return load_card(str(path))


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def refusal(card: Card) -> str:
    """The one sentence with which a card's volume is refused, at once or when it is read."""
    with pytest.raises(UserError) as caught:
        open_volume(card).read(0, 12, instances=True)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [png_series, tiff_series, zip_of_png, tiff, npy, hdf5])
def test_what_is_stored_is_read(tmp_path, write):
    volume = open_volume(make(tmp_path, write=write))
    assert volume.shape == SHAPE
    assert volume.dtype == np.uint8
    part = volume.read(2, 9)
    np.testing.assert_array_equal(part.image, IMAGE[2:9])
    np.testing.assert_array_equal(part.foreground, LABELS[2:9] == 1)
    assert part.image.dtype == np.uint8
    assert part.foreground.dtype == bool
    assert part.image.flags.c_contiguous
    assert part.foreground.flags.c_contiguous
    assert part.instances is None


@pytest.mark.parametrize("write", [npy, hdf5])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("block", [60, 1000, 1 << 24])
def test_any_order_of_the_axes_is_brought_to_zyx(tmp_path, monkeypatch, axes, write, block):
    monkeypatch.setattr(lazy_array, "_READ", block)
    order = ["zyx".index(axis) for axis in axes]
    arrays = {}
    for name, array in (("image", IMAGE), ("labels", LABELS), ("ids", IDS)):
        how = {"chunks": (5, 7, 9)} if write is hdf5 and name != "ids" else {}
        said = write(tmp_path / name, array.transpose(order).copy(), **how)
        arrays[name] = (said if isinstance(said, dict) else {"path": said}) | {"axes": axes}
    volume = open_volume(make(tmp_path, arrays))
    assert volume.shape == SHAPE
    part = volume.read(3, 5, instances=True)
    np.testing.assert_array_equal(part.image, IMAGE[3:5])
    np.testing.assert_array_equal(part.foreground, LABELS[3:5] == 1)
    np.testing.assert_array_equal(part.instances, IDS[3:5])
    assert part.image.flags.c_contiguous


@pytest.mark.parametrize("axes", ["zyx", "zxy"])
def test_sections_of_two_patterns_follow_each_other(tmp_path, axes):
    turned = IMAGE if axes == "zyx" else IMAGE.transpose(0, 2, 1)
    path = [png_series(tmp_path / "b", turned[:5]), zip_of_png(tmp_path / "a", turned[5:])]
    volume = open_volume(make(tmp_path, {"image": {"path": path, "axes": axes}}))
    np.testing.assert_array_equal(volume.read(1, 11).image, IMAGE[1:11])


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("int16", "float32"), (">f8", "float32")],
)
def test_grey_values_survive_whatever_their_type(tmp_path, dtype, kept):
    image = IMAGE.astype(dtype) * (7 if dtype != "uint8" else 1)
    volume = open_volume(make(tmp_path, {"image": image}))
    np.testing.assert_array_equal(volume.read(0, 12).image, image)
    assert volume.dtype == volume.read(0, 1).image.dtype == kept


def test_16_bits_of_the_other_byte_order_survive(tmp_path):
    image = IMAGE.astype(">u2") * 257
    part = open_volume(make(tmp_path, {"image": image})).read(0, 12)
    np.testing.assert_array_equal(part.image, image)
    assert part.image.dtype == np.uint16


@pytest.mark.parametrize("first", [0, 1])
def test_masks_of_mixed_bit_depth_are_read_alike(tmp_path, first):
    mask = LABELS > 0
    (tmp_path / "labels").mkdir()
    for z, section in enumerate(mask):
        grey = section if z % 2 == first else section.astype(np.uint8) * (255 if z % 3 else 1)
        Image.fromarray(grey).save(tmp_path / "labels" / f"{z}.png")
    depths = {Image.open(path).mode for path in (tmp_path / "labels").iterdir()}
    assert depths == {"1", "L"}
    classes = {"rest": "== 0", "cell": "> 0"}
    task = {"classes": classes, "foreground": "cell"}
    volume = open_volume(make(tmp_path, {"labels": "labels/*.png"}, task=task))
    np.testing.assert_array_equal(volume.read(0, 12).foreground, mask)


@pytest.mark.parametrize("values", [[0, 1, 2], [0, 1, 2, 2**63 + 1], [-3, 0, 1], [0.0, 1.5, 2.0]])
def test_foreground_is_the_class_whatever_the_numbers(tmp_path, values):
    values = np.array(values)
    labels = values[RNG.integers(0, len(values), SHAPE)]
    classes = {"low": "< 1", "one": "== 1", "high": "> 1"}
    card = make(tmp_path, {"labels": labels}, task={"classes": classes, "foreground": "high"})
    np.testing.assert_array_equal(open_volume(card).read(0, 12).foreground, labels > 1)


def test_largest_64_bit_label_is_told_from_the_next(tmp_path):
    top = 2**64 - 1
    labels = np.where(LABELS == 1, np.uint64(top), np.uint64(top - 1))
    ids = np.where(LABELS == 2, np.uint64(top - 1), np.uint64(top - 2))
    task = {"classes": {"cleft": f"!= {top}", "none": f"== {top}"}, "foreground": "cleft"}
    part = open_volume(make(tmp_path, {"labels": labels, "ids": ids}, task=task)).read(
        0, 12, instances=True
    )
    np.testing.assert_array_equal(part.foreground, LABELS != 1)
    np.testing.assert_array_equal(part.instances, ids)


def test_instances_are_read_when_asked_for(tmp_path):
    volume = open_volume(make(tmp_path, {"ids": IDS}))
    assert volume.read(3, 5).instances is None
    np.testing.assert_array_equal(volume.read(3, 5, instances=True).instances, IDS[3:5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_numbers_stored_as_floats_are_ids(tmp_path, dtype):
    part = open_volume(make(tmp_path, {"ids": IDS.astype(dtype)})).read(0, 12, instances=True)
    assert part.instances.dtype == np.int64
    np.testing.assert_array_equal(part.instances, IDS)


@pytest.mark.parametrize("axes", ["zyx", "yxz", "xyz"])
@pytest.mark.parametrize("block", [100, 1 << 24])
def test_boundaries_are_the_foreground_of_ids(tmp_path, monkeypatch, axes, block):
    monkeypatch.setattr(lazy_array, "_READ", block)
    order = ["zyx".index(axis) for axis in axes]
    ids = np.repeat(np.repeat(IDS[:, ::8, ::6], 8, 1), 6, 2)
    stored = hdf5(tmp_path / "ids", ids.transpose(order).copy(), chunks=(5, 6, 7)) | {"axes": axes}
    task = {"labels": "ids", "classes": {}, "foreground": "boundary", "boundary_width": 2}
    card = make(tmp_path, {"ids": stored}, task=task | {"ids": "ids", "instances": "between"})
    part = open_volume(card).read(1, 11, instances=True)
    np.testing.assert_array_equal(part.foreground, boundaries(ids[1:11], 2))
    np.testing.assert_array_equal(part.instances, ids[1:11])


@pytest.mark.parametrize("kind", ["neurites", "fibres"])
def test_phantom_has_two_label_layers(kind):
    task = {"labels": "semantic", "classes": CLASSES, "foreground": "fibre", "ids": "instances"}
    card = Card(
        name="phantom",
        title="A phantom",
        modality="none",
        voxel_size_nm=(1, 1, 1),
        licence="CC0-1.0",
        phantom={"kind": kind, "shape": (8, 48, 40), "seed": 3},
        tasks={"one": task | {"instances": "foreground"}},
        split={"train": (0, 4), "test": (4, 8)},
    )
    phantom = generate_phantom(kind, (8, 48, 40), 3)
    part = open_volume(card).read(2, 8, instances=True)
    np.testing.assert_array_equal(part.image, phantom.image[2:])
    np.testing.assert_array_equal(part.foreground, phantom.semantic[2:] == 1)
    np.testing.assert_array_equal(part.instances, phantom.instances[2:])


def test_phantom_that_is_too_small_is_refused():
    card = load_card("phantom-neurites")
    small = card.phantom.model_copy(update={"shape": (2, 32, 32)})
    with pytest.raises(UserError, match="at least"):
        open_volume(card.model_copy(update={"phantom": small}))


# --- laziness -------------------------------------------------------------------------------------


def test_opening_reads_no_values(tmp_path, monkeypatch):
    card = make(tmp_path)
    monkeypatch.setattr(Rows, "__getitem__", lambda self, box: pytest.fail("it reads"))
    assert open_volume(card).shape == SHAPE


def test_of_a_series_just_the_sections_asked_for_are_opened(tmp_path, monkeypatch):
    card = make(tmp_path, write=png_series)
    volume = open_volume(card)
    for z in range(12):
        if z not in (3, 4):
            (tmp_path / "image" / f"s{z}.png").write_bytes(b"")
            (tmp_path / "labels" / f"s{z}.png").unlink()
    np.testing.assert_array_equal(volume.read(3, 5).image, IMAGE[3:5])


MEASURE = """
import sys
from emsym.data.cards import load_card
from emsym.data.volume import open_volume

def peak():
    # getrusage would count what the parent process had, too
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

volume = open_volume(load_card(sys.argv[1]))
volume.read(0, 1)  # imports
before = peak()
part = volume.read(0, 64)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory differently")
@pytest.mark.parametrize("kind", ["npy", "tif", "h5", "chunked h5", "turned npy", "turned h5"])
def test_memory_is_the_result_and_little_more(tmp_path, kind):
    shape = (200, 800, 1000)
    axes = "yxz" if "turned" in kind else "zyx"
    stored = tuple(shape["zyx".index(axis)] for axis in axes)
    suffix = kind.split()[-1]
    for name in ("image", "labels"):
        zeros, path = np.zeros(stored, np.uint8), tmp_path / f"{name}.{suffix}"
        if suffix == "npy":
            np.save(path, zeros)
        elif suffix == "tif":
            tifffile.imwrite(path, zeros)
        else:
            how = {"chunks": (50, 100, 100)} if kind == "chunked h5" else {}
            hdf5(tmp_path / name, zeros, **how)
    names = {"image": f"image.{suffix}", "labels": f"labels.{suffix}"}
    arrays = {role: {"path": path, "key": "raw", "axes": axes} for role, path in names.items()}
    card = make(tmp_path, arrays, split={"train": [0, 64], "test": [64, 128]})
    command = [sys.executable, "-c", MEASURE, str(card.folder / "cells.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.5 * 2 * 64 * 800 * 1000


# --- refusing: shapes and values ------------------------------------------------------------------


@pytest.mark.parametrize("role", ["labels", "ids"])
def test_other_shape_than_the_image_is_refused(tmp_path, role):
    message = refusal(make(tmp_path, {"ids": IDS} | {role: LABELS[:, 1:]}))
    assert f"'{role}'" in message
    assert "(12, 39, 36)" in message
    assert "(12, 40, 36)" in message


def test_other_shape_than_the_card_says_is_refused(tmp_path):
    assert open_volume(make(tmp_path, shape=SHAPE)).shape == SHAPE
    message = refusal(make(tmp_path, shape=[40, 36, 12]))
    assert "(40, 36, 12)" in message
    assert "(12, 40, 36)" in message
    assert "axes" in message


@pytest.mark.parametrize("write", [png_series, tiff_series, npy])
def test_flat_file_is_refused(tmp_path, write):
    flat = IMAGE[0] if write is npy else IMAGE[:1]  # a series of one section is one flat file
    message = refusal(make(tmp_path, {"image": write(tmp_path / "image", flat)}))
    assert "2-dimensional, (40, 36)" in message


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5)])
def test_arrays_of_other_dimensions_are_refused(tmp_path, shape):
    message = refusal(make(tmp_path, {"image": np.zeros(shape, np.uint8)}))
    assert f"{len(shape)}-dimensional" in message


def test_colour_section_is_refused_by_its_name(tmp_path):
    card = make(tmp_path, write=png_series)
    Image.fromarray(RNG.integers(0, 99, (40, 36, 3), np.uint8)).save(tmp_path / "image/s4.png")
    message = refusal(card)
    assert "s4.png" in message
    assert "grey" in message


@pytest.mark.parametrize("write", [png_series, tiff_series])
def test_sections_of_unlike_shape_are_refused(tmp_path, write):
    sections = [section if z != 10 else section[1:] for z, section in enumerate(IMAGE)]
    message = refusal(make(tmp_path, {"image": write(tmp_path / "image", sections)}))
    assert "s10." in message
    assert "(39, 36)" in message
    assert "(40, 36)" in message


def test_sections_of_larger_numbers_are_refused(tmp_path):
    sections = [
        section if z != 10 else section.astype(np.uint16) for z, section in enumerate(IMAGE)
    ]
    message = refusal(make(tmp_path, {"image": tiff_series(tmp_path / "image", sections)}))
    assert "s10.tif" in message
    assert "uint16" in message


def test_volumes_of_unlike_sections_are_refused(tmp_path):
    path = [npy(tmp_path / "a", IMAGE[:7]), npy(tmp_path / "b", IMAGE[7:, 1:])]
    message = refusal(make(tmp_path, {"image": {"path": path}}))
    assert "b.npy" in message
    assert "(5, 39, 36)" in message


@pytest.mark.parametrize("role", ["image", "labels", "ids"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, role, value):
    arrays = {"image": IMAGE, "labels": LABELS, "ids": IDS}
    arrays[role] = arrays[role].astype(np.float32)
    arrays[role][3, 2, 1] = value
    message = refusal(make(tmp_path, arrays))
    assert "NaN or infinite" in message
    assert role in message


def test_values_too_large_for_single_precision_are_refused(tmp_path):
    image = IMAGE.astype(np.float64)
    image[3, 2, 1] = 1e300
    assert "infinite" in refusal(make(tmp_path, {"image": image}))


@pytest.mark.parametrize("role", ["image", "labels"])
@pytest.mark.parametrize("values", [np.full(SHAPE, "a"), np.full(SHAPE, 1j)])
def test_what_is_no_number_is_refused(tmp_path, role, values):
    message = refusal(make(tmp_path, {role: values}))
    assert "where numbers are needed" in message
    assert role in message


@pytest.mark.parametrize("number", [0.5, 1e30])
def test_ids_that_are_not_whole_are_refused(tmp_path, number):
    ids = IDS.astype(np.float64)
    ids[3, 2, 1] = number
    message = refusal(make(tmp_path, {"ids": ids}))
    assert "'ids'" in message
    assert "whole" in message


@pytest.mark.parametrize(
    ("dtype", "values", "told"),
    [
        ("uint8", [3], "3"),
        ("uint8", [3, 255], "3, 255"),
        ("int16", [-1], "-1"),
        ("uint64", [2**63 + 1], "9223372036854775809"),
        ("float32", [1.5], "1.5"),
    ],
)
def test_labels_of_no_class_are_told_with_their_classes(tmp_path, dtype, values, told):
    labels = LABELS.astype(dtype)
    labels[4, 5, : len(values)] = values
    message = refusal(make(tmp_path, {"labels": labels}))
    assert "'labels'" in message
    assert f"holds {told}, which" in message
    assert "none of the classes matrix (== 0), fibre (== 1), pore (== 2)" in message


def test_labels_of_several_classes_are_told(tmp_path):
    classes = {"rest": "== 0", "cell": "> 0", "core": "== 2"}
    message = refusal(make(tmp_path, task={"classes": classes, "foreground": "cell"}))
    assert "holds 2, which" in message
    assert "several of the classes" in message


def test_labels_outside_of_the_sections_that_are_read_do_not_count(tmp_path):
    labels = LABELS.copy()
    labels[11] = 77
    volume = open_volume(make(tmp_path, {"labels": labels}))
    np.testing.assert_array_equal(volume.read(0, 11).foreground, labels[:11] == 1)


@pytest.mark.parametrize("ends", [(-1, 3), (3, 3), (5, 4), (0, 13)])
def test_sections_that_there_are_not_cannot_be_read(tmp_path, ends):
    with pytest.raises(ValueError, match="12 sections"):
        open_volume(make(tmp_path)).read(*ends)


# --- refusing: files ------------------------------------------------------------------------------


def test_missing_files_are_named(tmp_path):
    for path in ("none.npy", "none/*.png", "image.zip/none/*.png"):
        message = refusal(make(tmp_path, {"image": path}))
        assert message.startswith("There is no file at ")
        assert path in message


def test_damaged_file_is_named(tmp_path):
    card = make(tmp_path)
    whole = (tmp_path / "image.npy").read_bytes()
    (tmp_path / "image.npy").write_bytes(whole[:-9])
    assert "image.npy cannot be read" in refusal(card)


def test_hdf5_without_the_key_lists_what_is_there(tmp_path):
    image = hdf5(tmp_path / "image", IMAGE) | {"key": "grey"}
    assert "no data set at the key 'grey', but raw" in refusal(make(tmp_path, {"image": image}))


# --- refusing: splits -----------------------------------------------------------------------------


def test_split_past_the_end_is_refused(tmp_path):
    message = refusal(make(tmp_path, split={"train": [0, 7], "test": [7, 13]}))
    assert "test split" in message
    assert "section 13" in message
    assert "12 sections" in message


def test_section_smaller_than_the_patch_is_refused(tmp_path):
    card = make(tmp_path)
    volume = open_volume(card)
    check_volume(card, volume, slices=3, patch=36)
    with pytest.raises(UserError, match=r"are 40 × 36 pixels.* 64 × 64"):
        check_volume(card, volume, slices=3, patch=64)


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_split_of_just_one_stack_is_enough_and_less_is_refused(tmp_path, slices):
    card = make(tmp_path, split={"train": [0, slices], "test": [7, 12]})
    volume = open_volume(card)
    check_volume(card, volume, slices, patch=32)
    with pytest.raises(UserError, match=f"train split .* {slices} sections"):
        check_volume(card, volume, slices + 2, patch=32)


@pytest.mark.parametrize(("value", "told"), [(False, "without foreground"), (True, "all foregr")])
def test_split_of_one_class_is_refused(tmp_path, value, told):
    card = make(tmp_path)
    with pytest.raises(UserError, match=f"The train split of 'cells' is {told}"):
        check_split(card, float(value), "train")
    check_split(card, 0.5, "train")


# --- pixels without a label -----------------------------------------------------------------------


def test_what_a_card_ignores_is_no_label(tmp_path):
    labels = LABELS.copy()
    labels[:, :10] = 255
    card = make(tmp_path, {"labels": labels}, task={"ignore": 255})
    volume = open_volume(card)
    np.testing.assert_array_equal(volume.read(2, 9).foreground, labels[2:9] == 1)
    np.testing.assert_array_equal(volume.labelled(2, 9), labels[2:9] != 255)
    assert open_volume(make(tmp_path)).labelled(2, 9) is None


def test_what_a_card_ignores_belongs_to_no_class(tmp_path):
    rules = {"classes": {"inside": "> 1", "rest": "<= 1"}, "foreground": "inside"}
    volume = open_volume(make(tmp_path, task={**rules, "ignore": 2}))
    assert not volume.read(0, 12).foreground.any()


def test_another_value_of_no_class_is_still_refused(tmp_path):
    labels = LABELS.copy()
    labels[3, 0, :2] = 254, 255
    message = refusal(make(tmp_path, {"labels": labels}, task={"ignore": 255}))
    assert "holds 254, which belongs to none" in message


def test_ids_have_no_value_to_ignore(tmp_path):
    rules = {"classes": {}, "foreground": "boundary", "instances": "between", "ignore": 9}
    with pytest.raises(UserError, match="'ignore' is a value of classes"):
        make(tmp_path, {"labels": IDS}, task=rules)


def test_ignoring_a_value_makes_it_other_data_and_nothing_else_does(tmp_path):
    plain, ignoring = (make(tmp_path, task=task) for task in ({}, {"ignore": 255}))
    assert data_digest(plain) != data_digest(ignoring)
    # from before there was an `ignore`
    assert (
        data_digest(load_card("phantom-fibres"))
        == "6bbfd3ade022001b81b0056089b5a2a683b06931d69420a7d939bf738fd140c3"
    )
