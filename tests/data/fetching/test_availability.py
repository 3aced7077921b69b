"""A card's data is found on this machine, or told what is missing and how it is fetched."""

import subprocess
import sys
from pathlib import PurePosixPath

import pytest

from emsym.data.cards import Files, RemoteFile, load_card
from emsym.data.fetching.availability import needed_files, require_data
from emsym.data.fetching.fetch import fetch
from emsym.data.fetching.verify import verify_data
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")


def test_only_the_files_of_the_chosen_task_are_needed():
    card = load_card("vnc")
    source = next(iter(card.sources.values()))
    one = needed_files(card.choose("mitochondria"), source)
    assert {PurePosixPath(name).parts[0] for name in one} == {"raw", "mitochondria"}
    assert len(one) == 40
    assert set(one) < set(needed_files(card, source))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("image/*.png", ["image/0.png"]),
        ("*.png", ["0.png"]),
        ("image", ["image/0.png", "image/deep/0.png"]),
        ("image/?.[pq]ng", ["image/0.png"]),
        ("data.zip/image/*.png", []),
        ("IMAGE/0.png", []),
        ("image/0.png/array", []),
    ],
)
def test_a_pattern_means_what_it_means_to_a_shell(cells, path, names):
    card = cells()
    files = dict.fromkeys(["0.png", "image/0.png", "image/deep/0.png", "data.zip"], RemoteFile())
    source = card.sources["first"].model_copy(update={"files": files, "image": Files(path=path)})
    assert needed_files(card, source) == [*names, "data.zip"]


def test_what_is_missing_is_told_with_its_size_and_the_command(server, tmp_path):
    with pytest.raises(UserError) as told:
        require_data(load_card("gf-pa66"))
    assert str(told.value).count(". ") == 0
    assert "pa66_volumes.h5 is missing (7.0 GB)" in str(told.value)
    assert "`emsym-bench data fetch gf-pa66`" in str(told.value)
    assert "--from DIR" in str(told.value)


def test_the_command_for_a_card_of_one_s_own_names_its_path(cells, tmp_path):
    with pytest.raises(UserError, match=f"data fetch {tmp_path}/cells.toml`"):
        require_data(cells())


def test_a_phantom_and_a_local_source_need_no_fetching(server, notes, tmp_path, cells):
    assert fetch(load_card("phantom-fibres"), notes).sums == {}
    card = cells()
    local = card.sources["first"].model_copy(update={"files": {}, "url": None})
    card = card.model_copy(update={"sources": {"here": local}})
    with pytest.raises(UserError, match=r"There is no file at .*image\.npy"):
        fetch(card, notes)
    for name in ("image.npy", "labels.npy"):
        (tmp_path / name).touch()
    located = fetch(card, notes)
    assert (located.source, located.folder, located.sums) == ("here", tmp_path, {})
    assert verify_data(card) == []
    assert server.asked == []


def test_looking_imports_neither_requests_nor_pooch(kept):
    code = (
        "import sys; from emsym.data import cards; from emsym.data.fetching import availability;"
        "availability.locate_data(cards.load_card('snemi3d'));"
        "print(*{'requests', 'pooch', 'torch'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
