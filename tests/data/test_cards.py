"""A dataset card is checked, and found by name; its tasks are chosen."""

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

[sources.mine]
image = { path = "image/*.png" }
labels.cells = { path = "labels.npy" }

[tasks.cells]
labels = "cells"
classes = { rest = "== 0", cell = "> 0" }
foreground = "cell"
instances = "foreground"

[split]
train = [0, 8]
test = [8, 12]
"""

REMOTE = """
[sources.web]
url = "https://example.org/cells/"
image = { path = "raw.tif" }
labels.cells = { path = "cells.zip/*.png" }
files."raw.tif" = { checksum = "md5:0123456789abcdef0123456789abcdef" }
files."cells.zip" = { url = "doi:10.5281/zenodo.1/cells.zip" }
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


def test_the_data_sets_of_the_paper_and_their_kin_ship():
    assert set(list_cards()) >= {
        "phantom-neurites",
        "phantom-mitochondria",
        "phantom-fibres",
        "snemi3d",
        "lucchi",
        "lucchi++",
        "gf-pa66",
        "isbi2012",
        "vnc",
        "cremi-a",
        "cremi-b",
        "cremi-c",
    }


def test_gf_pa66_is_said_to_be_no_electron_microscopy():
    assert "X-ray" in load_card("gf-pa66").modality


@pytest.mark.parametrize("name", list_cards())
def test_a_downloaded_card_says_how_to_check_cite_and_license_it(name):
    card = load_card(name)
    if card.sources:
        assert card.citation
        assert card.homepage.startswith("https://")
        assert card.shape is not None
        assert max(card.split.train[1], card.split.test[1]) <= card.shape[0]


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
        (('image = { path = "image/*.png" }\n', ""), "'sources.mine.image' is missing"),
        (('{ path = "labels.npy" }', "{}"), "'sources.mine.labels.cells.path' is missing"),
        (('labels.cells = { path = "labels.npy" }\n', "labels = {}\n"), "'sources.mine.labels'"),
        (("test = [8, 12]", "test = [7, 12]"), "'split': .*overlap"),
        (("train = [0, 8]", "train = [8, 8]"), r"'split': train = \[8, 8\]"),
        (("train = [0, 8]", "train = [-1, 8]"), r"'split': train = \[-1, 8\]"),
        (("train = [0, 8]", "train = [0, 8, 9]"), "'split.train'"),
        (("train = [0, 8]", "train = 8"), "'split.train'"),
        (('"> 0"', '"=> 0"'), "'tasks.cells.classes.cell'"),
        (('"> 0"', '"> zero"'), "'tasks.cells.classes.cell'"),
        (('"> 0"', '"label > 0"'), "'tasks.cells.classes.cell'"),
        (('foreground = "cell"', 'foreground = "cel"'), "'cel' is not one of the classes"),
        (('foreground = "cell"', 'foreground = "boundary"'), "holds ids, not classes"),
        (('instances = "foreground"', 'instances = "all"'), "'tasks.cells.instances'"),
        (
            ('labels = "cells"', 'labels = "cell"'),
            "needs the labels 'cell', which the source 'mine'",
        ),
        (('path = "labels.npy"', 'path = "labels.npy", axes = "zzx"'), "labels.cells.axes"),
        (("[40, 4, 4]", "[40, 4]"), "'voxel_size_nm.2' is missing|'voxel_size_nm'"),
        (('name = "cells"\ntitle', 'name = "cell"\ntitle'), "'name' is 'cell'"),
        (("[split]", "[split"), "not valid TOML"),
        (("md5:01", "md5:0x"), r"'sources.web.files.raw.tif.checksum'"),
        (("doi:10", "ftp:10"), r"'sources.web.files.cells.zip.url'"),
        (('url = "https://example.org/cells/"\n', ""), "the file 'raw.tif' has no url"),
        (('files."raw.tif"', 'files."../raw.tif"'), "'../raw.tif' leads out of the folder"),
        (('path = "raw.tif"', 'path = "/etc/raw.tif"'), "'/etc/raw.tif' leads out of the folder"),
    ],
)
def test_mistake_is_one_sentence_with_the_file_and_the_key(tmp_path, change, told):
    remote = () if change[0] in CARD else (("[tasks.cells]", REMOTE + "[tasks.cells]"),)
    path = write(tmp_path, *remote, change)
    with pytest.raises(UserError, match=told) as caught:
        load_card(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message


def test_card_with_a_phantom_and_files_is_refused(tmp_path):
    phantom = '[phantom]\nkind = "fibres"\nshape = [8, 32, 32]\nseed = 0\n\n[tasks.cells]'
    path = write(tmp_path, ("[tasks.cells]", phantom))
    with pytest.raises(UserError, match=r"either \[phantom\] or \[sources"):
        load_card(str(path))


@pytest.mark.parametrize("text", ["x = " + "[" * 5000 + "]" * 5000, "x = " + "9" * 5000])
def test_what_no_parser_can_take_is_one_sentence(tmp_path, text):
    (tmp_path / "cells.toml").write_text(text)
    with pytest.raises(UserError, match="not valid TOML"):
        load_card(str(tmp_path / "cells.toml"))


def test_absent_card_names_its_path(tmp_path):
    with pytest.raises(UserError, match=r"absent\.toml cannot be read"):
        load_card(str(tmp_path / "absent.toml"))


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
def test_a_class_is_what_its_comparison_says(tmp_path, rule, expected):
    card = load_card(str(write(tmp_path, ("> 0", rule))))
    found = card.task.class_mask("cell", np.array([0, 1, 255], np.uint8))
    assert found.tolist() == expected


def test_ids_of_64_bits_are_compared_exactly():
    task = load_card("cremi-a:clefts").task
    labels = np.array([0, 2**64 - 2, 2**64 - 1], np.uint64)
    assert task.class_mask("cleft", labels).tolist() == [True, True, False]


# --- tasks ----------------------------------------------------------------------------------------


def test_a_task_is_chosen_after_a_colon():
    card = load_card("vnc:mitochondria")
    assert (card.name, card.card_name) == ("vnc:mitochondria", "vnc")
    assert card.task.foreground == "mitochondrion"
    assert card.layers() == ["mitochondria"]


def test_a_task_is_chosen_of_a_file_too(tmp_path):
    second = CARD[CARD.index("[tasks.cells]") : CARD.index("[split]")].replace(".cells", ".holes")
    path = write(tmp_path, ("[split]", f"{second}[split]"))
    assert load_card(f"{path}:holes").name == "cells:holes"


def test_a_card_with_several_tasks_asks_which():
    with pytest.raises(UserError, match=r"'cremi-a' has several tasks: say 'cremi-a:membranes' or"):
        _ = load_card("cremi-a").task


def test_an_unknown_task_is_told_the_known_ones():
    with pytest.raises(
        UserError, match="no task 'axons': it has membranes, mitochondria, synapses"
    ):
        load_card("vnc:axons")


def test_the_only_task_is_not_chosen():
    with pytest.raises(UserError, match="'snemi3d' has one task: leave out ':membranes'"):
        load_card("snemi3d:membranes")


# --- a volume for each seed -----------------------------------------------------------------------


def test_each_seed_of_a_protocol_may_have_a_volume_of_its_own():
    card = load_card("phantom-fibres-2")
    first, third = card.of_seed(0), card.of_seed(2)
    assert third.phantom.seed == first.phantom.seed + 2 == card.phantom.seed + 2
    assert third.of_seed(5) == third
    assert first != third
    for only in (load_card("phantom-fibres"), load_card("snemi3d")):
        assert only.of_seed(3) is only


def test_stationary_phantoms_have_enough_test_sections():
    for kind in ("neurites", "mitochondria", "fibres"):
        card = load_card(f"phantom-{kind}-2")
        start, stop = card.split.test
        assert stop - start - 2 >= 30, "centres of stacks of three"
        assert card.phantom.stationary
