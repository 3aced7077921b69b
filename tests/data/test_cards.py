"""A dataset card is checked, found by name, and its digest follows what decides a number."""

import shutil

import numpy as np
import pytest
from skimage.io import imsave

from emsym.data.cards import list_cards, load_card
from emsym.errors import UserError

CARD = """\
name = "cells"
title = "Cells"
modality = "TEM"
voxel_size_nm = [40, 4, 4]
licence = "CC0-1.0"

[image]
path = "image/*.png"

[labels]
path = "labels.npy"

[task]
name = "cells"
foreground = "> 0"
instances = "foreground"

[split]
train = [0, 8]
test = [8, 12]
"""


def write(folder, *changes, name="cells"):
    """Write a card with its files; `changes` are (old, new) replacements in its text."""
    text = CARD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "image").mkdir(parents=True, exist_ok=True)
    for z in range(12):
        section = np.full((4, 4), z, np.uint8)
        imsave(folder / "image" / f"{z}.png", section, check_contrast=False)
    np.save(folder / "labels.npy", np.zeros((12, 4, 4), np.uint8))
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


# --- shipped cards --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_cards())
def test_every_shipped_card_loads_by_its_name(name):
    card = load_card(name)
    assert card.name == name
    assert card.licence


def test_three_phantoms_ship():
    assert {"phantom-neurites", "phantom-mitochondria", "phantom-fibres"} <= set(list_cards())


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"'phantom-neurite'.*did you mean 'phantom-neurites'"):
        load_card("phantom-neurite")


def test_name_like_no_other_is_told_where_to_look():
    with pytest.raises(UserError, match="emsym-bench list datasets"):
        load_card("zzzzzzzz")


# --- a card that a person wrote -------------------------------------------------------------------


def test_card_is_read_as_written(tmp_path):
    card = load_card(str(write(tmp_path)))
    assert (card.split.train, card.split.test) == ((0, 8), (8, 12))
    assert card.voxel_size_nm == (40, 4, 4)


def test_path_is_relative_to_the_given_folder(tmp_path):
    write(tmp_path)
    assert load_card("cells.toml", tmp_path).name == "cells"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("title =", "titel ="), "unknown key 'titel'"),
        (('licence = "CC0-1.0"\n', ""), "the key 'licence' is missing"),
        (('[image]\npath = "image/*.png"\n', "[image]\n"), "the key 'image.path' is missing"),
        (("test = [8, 12]", "test = [7, 12]"), "'split': .*overlap"),
        (("train = [0, 8]", "train = [8, 8]"), r"'split': train = \[8, 8\]"),
        (("train = [0, 8]", "train = [-1, 8]"), r"'split': train = \[-1, 8\]"),
        (("train = [0, 8]", "train = [0, 8, 9]"), "'split.train'"),
        (("train = [0, 8]", "train = 8"), "'split.train'"),
        (("> 0", "=> 0"), "'task.foreground'"),
        (("> 0", "> zero"), "'task.foreground'"),
        (("> 0", "label > 0"), "'task.foreground'"),
        (('instances = "foreground"', 'instances = "all"'), "'task.instances'"),
        (('[labels]\npath = "labels.npy"\n', ""), r"\[image\] and \[labels\] go together"),
        (("[40, 4, 4]", "[40, 4]"), "'voxel_size_nm.2' is missing|'voxel_size_nm'"),
        (('name = "cells"\ntitle', 'name = "cell"\ntitle'), "'name' is 'cell'"),
        (("[split]", "[split"), "not valid TOML"),
    ],
)
def test_mistake_is_one_sentence_with_the_file_and_the_key(tmp_path, change, told):
    path = write(tmp_path, change)
    with pytest.raises(UserError, match=told) as caught:
        load_card(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message


def test_card_with_a_phantom_and_files_is_refused(tmp_path):
    phantom = '[phantom]\nkind = "fibres"\nshape = [8, 32, 32]\nseed = 0\n\n[task]'
    path = write(tmp_path, ("[task]", phantom))
    with pytest.raises(UserError, match=r"either \[phantom\] or \[image\]"):
        load_card(str(path))


def test_absent_card_names_its_path(tmp_path):
    with pytest.raises(UserError, match=r"absent\.toml cannot be read"):
        load_card(str(tmp_path / "absent.toml"))


# --- files ----------------------------------------------------------------------------------------


def test_sections_come_in_natural_order(tmp_path):
    card = load_card(str(write(tmp_path)))
    assert [path.stem for path in card.paths(card.image)] == [str(z) for z in range(12)]


def test_pattern_may_be_absolute(tmp_path):
    write(tmp_path / "files")
    pattern = tmp_path / "files" / "image" / "*.png"
    path = write(tmp_path, ("image/*.png", str(pattern)))
    card = load_card(str(path))
    assert {file.parent for file in card.paths(card.image)} == {pattern.parent}


def test_pattern_may_climb(tmp_path):
    write(tmp_path)
    path = write(tmp_path / "cards", ("image/*.png", "../image/*.png"))
    card = load_card(str(path))
    assert len(card.paths(card.image)) == 12


def test_folder_of_the_card_is_no_pattern(tmp_path):
    card = load_card(str(write(tmp_path / "sample [A]")))
    assert len(card.paths(card.image)) == 12


@pytest.mark.parametrize("pattern", ["image/*.tif", "image/0.tif"])
def test_absent_files_are_named(tmp_path, pattern):
    card = load_card(str(write(tmp_path, ("image/*.png", pattern))))
    with pytest.raises(UserError, match=r"'cells' has no file at .*0?\.tif"):
        card.paths(card.image)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("== 0", [True, False, False]),
        ("!= 0", [False, True, True]),
        ("> 1", [False, False, True]),
        (">= 1", [False, True, True]),
        ("<1", [True, False, False]),
        ("<= 1.5", [True, True, False]),
    ],
)
def test_foreground_is_what_the_comparison_says(tmp_path, rule, expected):
    card = load_card(str(write(tmp_path, ("> 0", rule))))
    assert card.task.is_foreground(np.array([0, 1, 255], np.uint8)).tolist() == expected


# --- digest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        ("[8, 12]", "[9, 12]"),
        ("> 0", "> 1"),
        ('instances = "foreground"', 'instances = "between"'),
    ],
)
def test_digest_follows_what_decides_a_number(tmp_path, change):
    before = load_card(str(write(tmp_path))).digest()
    assert load_card(str(write(tmp_path, change))).digest() != before


@pytest.mark.parametrize(
    "change", [('"Cells"', '"Other cells"'), ("CC0-1.0", "MIT"), ("[40, 4, 4]", "[30, 4, 4]")]
)
def test_digest_does_not_follow_descriptions(tmp_path, change):
    before = load_card(str(write(tmp_path))).digest()
    assert load_card(str(write(tmp_path, change))).digest() == before


@pytest.mark.parametrize("file", ["image/7.png", "labels.npy"])
def test_digest_follows_every_byte_of_the_files(tmp_path, file):
    card = load_card(str(write(tmp_path)))
    before = card.digest()
    content = bytearray((tmp_path / file).read_bytes())
    content[-1] ^= 1
    (tmp_path / file).write_bytes(content)
    assert card.digest() != before


def test_digest_follows_the_order_of_sections(tmp_path):
    card = load_card(str(write(tmp_path)))
    before = card.digest()
    image = tmp_path / "image"
    (image / "3.png").rename(image / "20.png")
    assert card.digest() != before


def test_digest_does_not_follow_the_place(tmp_path):
    here = load_card(str(write(tmp_path / "here")))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert load_card(str(tmp_path / "there" / "cells.toml")).digest() == here.digest()


def test_digest_of_a_phantom_follows_its_seed(tmp_path):
    card = load_card("phantom-fibres")
    assert card.phantom is not None
    other = card.model_copy(update={"phantom": card.phantom.model_copy(update={"seed": 99})})
    assert card.digest() != other.digest()
    assert card.digest() == load_card("phantom-fibres").digest()
