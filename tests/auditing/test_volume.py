"""Volumes of audits: wherever they lie the same sections are read, and no more than is needed."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emsym.auditing.inputs import AuditInputs
from emsym.auditing.volume import Chosen, choose_sections
from emsym.errors import UserError

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (9, 40, 50)).astype(np.uint8)
LABELS = (RANDOM.random(IMAGE.shape) < 0.3).astype(np.uint8) * 7


def chosen(
    volume: object,
    labels: object = None,
    slices: int = 3,
    size: tuple[int, int] = (32, 32),
    **options: object,
) -> Chosen:
    inputs = AuditInputs(
        volume=volume, model="no network", labels=labels, **{"sections": 4, **options}
    )
    return choose_sections(inputs, slices, size)


def stored(kind: str, values: np.ndarray, path: Path) -> str:
    """Where the values then lie, in the words of the command line."""
    if kind == "tif":
        tifffile.imwrite(path.with_suffix(".tif"), values)
        return str(path.with_suffix(".tif"))
    if kind == "compressed tif":
        tifffile.imwrite(path.with_suffix(".tif"), values, compression="zlib")
        return str(path.with_suffix(".tif"))
    if kind == "h5":
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            file.create_dataset("other", data=np.zeros(3))
            file.create_dataset("a/b", data=values, chunks=(4, 16, 16))
        return f"{path.with_suffix('.h5')}:a/b"
    if kind == "zarr":
        zarr.save(str(path.with_suffix(".zarr")), values)
        return str(path.with_suffix(".zarr"))
    path.mkdir()
    for number, section in enumerate(values):
        Image.fromarray(section).save(path / f"{number}.png")
    return str(path) if kind == "folder" else f"{path}/*.png"


@pytest.mark.parametrize("kind", ["tif", "compressed tif", "h5", "zarr", "folder", "pattern"])
def test_every_kind_of_file_gives_the_sections_of_the_array(kind: str, tmp_path: Path) -> None:
    image, labels = (stored(kind, v, tmp_path / n) for n, v in (("i", IMAGE), ("l", LABELS)))
    found, expected = chosen(image, labels), chosen(IMAGE, LABELS)
    assert found.data.sections == expected.data.sections == [1, 3, 5, 7]
    for ours, theirs in zip(found[:], expected[:], strict=True):
        assert torch.equal(ours, theirs)
    assert (found.scale.mean, found.scale.sd) == pytest.approx(
        (expected.scale.mean, expected.scale.sd)
    )


def test_stacks_are_the_middle_of_neighbours() -> None:
    found = chosen(IMAGE, LABELS, mean=100, sd=20)
    x, truth = found[1:3]
    assert (x.shape, x.dtype, truth.dtype) == ((2, 3, 32, 32), torch.float32, torch.bool)
    np.testing.assert_allclose(x[0], (IMAGE[2:5, 4:36, 9:41] - 100.0) / 20, rtol=1e-6)
    np.testing.assert_array_equal(truth[1], LABELS[5, 4:36, 9:41] > 0)
    assert found.data.crop == (4, 36, 9, 41)
    assert len(found) == 4
    assert "given" in found.data.normalised_by


def test_sections_that_are_visited_in_another_order_keep_what_is_theirs() -> None:
    found = chosen(IMAGE, LABELS)
    order = np.array([2, 0, 3, 1])
    turned = found.visited(order)
    assert turned.data.sections == [found.data.sections[index] for index in order]
    for ours, theirs in zip(turned[:], found[:], strict=True):
        assert torch.equal(ours, theirs[order])
    marked = chosen(IMAGE, LABELS * (1 + IMAGE % 2), ignore=7)
    assert torch.equal(
        marked.visited(order).labelled(slice(1, 3)), marked.labelled(slice(4))[[0, 3]]
    )


def test_without_mean_and_sd_it_is_normalised_by_what_was_read() -> None:
    found = chosen(IMAGE, sections=2)  # sections 1 and 7, with their neighbours
    read = IMAGE[[0, 1, 2, 6, 7, 8]].astype(float)
    assert (found.scale.mean, found.scale.sd) == pytest.approx((read.mean(), read.std()))
    assert "6 sections that were read" in found.data.normalised_by


def test_large_grey_levels_keep_their_spread() -> None:
    """A sum of squares would lose it."""
    image = 1e6 + RANDOM.normal(0, 0.5, IMAGE.shape).astype(np.float64)
    assert chosen(image).scale.sd == pytest.approx(image.std(), rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 3, 5]), st.integers(5, 9), st.integers(1, 12), st.integers(1, 60))
def test_sections_have_all_their_neighbours(
    slices: int, depth: int, sections: int, size: int
) -> None:
    found = chosen(IMAGE[:depth], slices=slices, sections=sections, size=(size, size))
    numbers, half = found.data.sections, slices // 2
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(sections, depth - 2 * half) == len(found)
    assert half <= numbers[0] <= numbers[-1] < depth - half
    assert found[:][0].shape == (len(numbers), slices, min(size, 40), min(size, 50))
    assert found.data.available == depth - 2 * half


def test_no_more_is_read_than_is_needed(tmp_path: Path) -> None:
    """A section that nobody asks for may be damaged."""
    path = tmp_path / "i"
    stored("folder", IMAGE, path)
    for number in (3, 5):
        (path / f"{number}.png").write_bytes(b"broken")
    assert chosen(str(path), sections=2).data.sections == [1, 7]
    with pytest.raises(UserError, match=r"3\.png cannot be read"):
        chosen(str(path), sections=4)


def test_a_card_has_its_own_split_labels_and_normalisation(tiny: Path) -> None:
    card = tiny.with_name("tiny-a.toml")
    found = chosen(str(card), slices=3, sections=20)
    assert found.data.sections == [8, 9, 10]  # of its test split, 7 to 12
    assert found.data.labels
    assert "training split" in found.data.normalised_by
    with pytest.raises(UserError, match="its own labels"):
        chosen(str(card), LABELS)


@pytest.mark.parametrize(
    ("image", "options", "told"),
    [
        (IMAGE[0], {}, "(40, 50)"),
        (IMAGE.astype(str), {}, "must be one of numbers"),
        ([[1, 2]], {}, "not a list"),
        (np.full((5, 40, 40), 3.0), {}, "3 everywhere"),
        (np.full((5, 40, 40), np.nan), {}, "NaN or infinite"),
        (IMAGE, {"labels": LABELS[1:]}, "must be the same (Z, Y, X)"),
        (IMAGE[:2], {}, "fewer than the 3"),
        (IMAGE, {"mean": 1.0}, "both --mean and --sd"),
        (IMAGE, {"mean": 1.0, "sd": 0.0}, "above 0"),
        (IMAGE, {"mean": np.nan, "sd": 1.0}, "finite"),
        (IMAGE, {"mean": 1.0, "sd": np.inf}, "finite"),
        (IMAGE, {"mean": 1.0, "sd": np.nan}, "finite"),
        (IMAGE * 1e200, {}, "holds values beyond 3.4e+38"),
        ("nothing.tif", {}, "no file, folder or dataset nothing.tif"),
        ("isbi2013", {}, "did you mean the dataset 'isbi2012'"),
    ],
)
def test_a_mistake_is_one_sentence(image: object, options: dict, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)) as error:
        chosen(image, **options)
    assert "\n" not in str(error.value)


def test_a_folder_of_several_kinds(tmp_path: Path) -> None:
    Image.fromarray(IMAGE[0]).save(tmp_path / "0.png")
    tifffile.imwrite(tmp_path / "1.tif", IMAGE[0])
    with pytest.raises(UserError, match=r"2 kinds, \.png, \.tif: give a pattern"):
        chosen(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        chosen(tmp_path / "empty")


def test_stacks_across_a_missing_section_are_left_out(tmp_path: Path) -> None:
    for folder, values in (("image", IMAGE), ("labels", LABELS)):
        stored("folder", values, tmp_path / folder)
        for gone in (3, 4):
            (tmp_path / folder / f"{gone}.png").unlink()
    found = chosen(tmp_path / "image", tmp_path / "labels", sections=20)
    assert found.data.sections == [1, 4, 5]  # of the files 0, 1, 2, 5, 6, 7, 8
    assert found.data.available == 3
    x, truth = found[1:2]
    np.testing.assert_array_equal(truth[0], LABELS[6, 4:36, 9:41] > 0)
    expected = (IMAGE[5:8, 4:36, 9:41] - found.scale.mean) / found.scale.sd
    np.testing.assert_allclose(x[0], expected, rtol=1e-4, atol=1e-6)
    assert any("3, 4 are missing: stacks that would reach" in note for note in found.notes)
    with pytest.raises(UserError, match="no 5 follow each other by the numbers in their names"):
        chosen(f"{tmp_path / 'image'}/[0-256].png", slices=5)
    for before, after in ((8, 9), (5, 3), (6, 4), (7, 5), (9, 6)):  # another gap, then none
        (tmp_path / "labels" / f"{before}.png").rename(tmp_path / "labels" / f"{after}.png")
        if after in (9, 6):
            with pytest.raises(UserError, match="give both for the same sections"):
                chosen(tmp_path / "image", tmp_path / "labels")
    assert chosen(tmp_path / "image", LABELS[[0, 1, 2, 5, 6, 7, 8]]).data.labels


def test_values_of_a_small_unit_are_not_one_value() -> None:
    assert chosen(IMAGE * np.float32(1e-8)).data.shape == IMAGE.shape


def test_what_a_card_ignores_is_told_and_left_out(tmp_path: Path, tiny: Path) -> None:
    labels = (LABELS > 0).astype(np.uint8)
    labels[:, :20] = 9
    np.save(tiny.parent / "image.npy", IMAGE)
    np.save(tiny.parent / "labels.npy", labels)
    card = tiny.with_name("tiny-a.toml")
    text = card.read_text().replace('ids = "instances"', "ignore = 9")
    phantom = text[text.index("[phantom]") : text.index("[tasks")]
    files = '[sources.own]\nimage = {path = "image.npy"}\nlabels.semantic = {path = "labels.npy"}\n'
    text = text.replace(phantom, files).replace("[7, 12]", "[5, 9]").replace("[0, 7]", "[0, 5]")
    card.write_text(text)
    sections = chosen(str(card))  # 6 and 7, rows 4 to 36
    known = sections.labelled(slice(0, 2))
    assert torch.equal(known, torch.from_numpy(labels[6:8, 4:36, 9:41] != 9))
    _, truth = sections[:2]
    assert not truth[~known].any()
    assert any("Where labels are 9, 50.0% of the pixels" in note for note in sections.notes)
