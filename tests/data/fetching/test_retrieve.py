"""One file is downloaded or taken, verified against what was published, and unpacked."""

import hashlib

import pytest
from served_cells import ALL, ARCHIVE, BAD, BIG, MEMBERS, listing, paths, sha, zipped

from emsym.data.cards import RemoteFile
from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.fetch import fetch
from emsym.data.fetching.fetched_files import source_folder
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")


def test_a_wrong_byte_of_a_file_by_doi_is_found(gf_pa66, zenodo, notes):
    file = zenodo[1]
    good = hashlib.md5(file.content).hexdigest()
    file.content = bytes([file.content[0] ^ 1]) + file.content[1:]
    bad = hashlib.md5(file.content).hexdigest()
    with pytest.raises(UserError, match=f"md5:{bad} instead of md5:{good}"):
        fetch(gf_pa66, notes)


def test_one_s_own_copy_of_a_file_by_doi_is_checked_against_the_record(
    gf_pa66, zenodo, notes, tmp_path, server
):
    own = tmp_path / "pa66_volumes.h5"
    own.write_bytes(BAD)
    with pytest.raises(UserError, match="instead of md5:"):
        fetch(gf_pa66, notes, origin=str(tmp_path))
    own.write_bytes(zenodo[1].content)
    assert fetch(gf_pa66, notes, origin=str(tmp_path)).sums["pa66_volumes.h5"].startswith("md5:")
    assert set(paths(server)) == {"/api/records/4587827"}


def test_one_s_own_copy_of_a_file_by_doi_is_pinned_without_a_network(
    gf_pa66, zenodo, notes, tmp_path, server
):
    (tmp_path / "pa66_volumes.h5").write_bytes(zenodo[1].content)
    server.server_close()
    located = fetch(gf_pa66, notes, origin=str(tmp_path))
    assert located.sums == {"pa66_volumes.h5": sha(zenodo[1].content)}
    assert any("published checksum is not known" in said for said in notes.said)


def test_offline_no_record_is_asked(gf_pa66, zenodo, notes, tmp_path, server):
    (tmp_path / "pa66_volumes.h5").write_bytes(zenodo[1].content)
    located = fetch(gf_pa66, notes, origin=str(tmp_path), offline=True)
    assert located.sums == {"pa66_volumes.h5": sha(zenodo[1].content)}
    assert not server.asked


def test_a_wrong_byte_is_named_kept_aside_and_had_from_the_next_source(cells, server, notes):
    card = cells(*ALL)
    wrong = bytes([BIG[0] ^ 1]) + BIG[1:]
    server.pages["/first/image.npy"].content = wrong
    located = fetch(card, notes)
    assert located.source == "second"
    assert f"{sha(wrong)} instead of {sha(BIG)}" in notes.said[0]
    folder = source_folder(card, "first")
    aside = folder / f"image.npy.bad-{sha(wrong)[7:15]}"
    assert aside.read_bytes() == wrong
    assert str(aside) in notes.said[0]
    assert listing(folder) == {aside.name}


def test_a_pin_is_compared_with_later_fetches(cells, server, notes):
    card = cells()
    located = fetch(card, notes)
    assert located.sums == {"image.npy": sha(BIG), "labels.npy": sha(b"labels")}
    (located.folder / "labels.npy").unlink()
    server.pages["/first/labels.npy"].content = b"LABELS"
    fetch(card, notes)
    assert any(f"{sha(b'LABELS')} instead of {sha(b'labels')}" in said for said in notes.said)
    assert any(f"delete {located.folder} to take what is new" in said for said in notes.said)
    server.pages["/first/labels.npy"].content = b"labels"
    notes.said.clear()
    assert fetch(card, notes)
    assert not any("Nobody" in said for said in notes.said)


def test_a_pin_can_be_written_into_the_card(cells, server, notes):
    fetch(cells(), notes)
    server.server_close()
    assert locate_data(cells(*ALL)).source == "first"


def test_a_file_that_nobody_vouches_for_must_have_about_the_size_that_the_card_tells(cells, notes):
    card = cells()
    files = {**card.sources["first"].files, "labels.npy": RemoteFile(size=7)}
    source = card.sources["first"].model_copy(update={"files": files})
    both = {"first": source, "second": card.sources["second"]}
    located = fetch(card.model_copy(update={"sources": both}), notes)
    assert located.source == "second"
    assert any("labels.npy has 6 bytes, the card says about 7" in said for said in notes.said)
    assert list((located.folder.parent / "first").glob("labels.npy.bad-*"))


@pytest.mark.parametrize("name", ["fetched.json", "labels.npy"])
def test_an_archive_overwrites_no_other_file_of_its_source(cells, server, notes, name):
    archive = zipped({name: b"evil", "image.npy": b""})
    server.put("/first/cells.zip", archive)
    card = cells()
    source = card.sources["first"]
    files = {"labels.npy": RemoteFile(), "cells.zip": RemoteFile(checksum=sha(archive))}
    source = source.model_copy(update={"files": files})
    card = card.model_copy(update={"sources": {"first": source}})
    with pytest.raises(UserError, match=f"its member '{name}' has the name of another file"):
        fetch(card, notes)
    assert (source_folder(card, "first") / "labels.npy").read_bytes() == b"labels"


def test_what_a_kill_left_of_unpacking_does_not_count(cells, server, notes):
    card = cells("archive")
    del server.pages["/first/labels.npy"]
    folder = source_folder(card, "second")
    begun = folder / ".cells.zip.unpacking" / "image"
    begun.mkdir(parents=True)
    (begun / "9.png").write_bytes(b"begun")
    (folder / "image").mkdir()
    (folder / "image" / "0.png").write_bytes(b"half")
    (folder / "cells.zip").write_bytes(ARCHIVE)
    assert locate_data(card) is None
    fetch(card, notes)
    assert listing(folder) == {"cells.zip", "fetched.json", *MEMBERS}
    assert (folder / "image/0.png").read_bytes() == MEMBERS["image/0.png"]
    assert "/second/cells.zip" not in paths(server)


def test_a_hostile_archive_is_no_source(cells, server, notes, kept):
    hostile = zipped({"../../evil": b""})
    card = cells(archive=sha(hostile))
    server.put("/second/cells.zip", hostile)
    del server.pages["/first/labels.npy"]
    with pytest.raises(UserError, match=r"its member '\.\./\.\./evil' lies outside"):
        fetch(card, notes)
    assert locate_data(card) is None
    assert not list(kept.rglob("evil"))


def test_a_damaged_archive_that_nobody_vouches_for_is_put_aside_and_asked_for_again(
    cells, server, notes
):
    card = cells()
    del server.pages["/first/labels.npy"]
    server.put("/second/cells.zip", ARCHIVE[:-30])
    with pytest.raises(UserError, match=r"cells\.zip is damaged .*kept as .*cells\.zip\.bad-"):
        fetch(card, notes)
    server.put("/second/cells.zip", ARCHIVE)
    located = fetch(card, notes)
    assert located.sums == {"cells.zip": sha(ARCHIVE)}
    assert (located.folder / "label/1.png").read_bytes() == MEMBERS["label/1.png"]


def test_what_a_new_archive_does_not_have_is_gone(cells, server, notes):
    card = cells("archive")
    del server.pages["/first/labels.npy"]
    folder = fetch(card, notes).folder
    smaller = zipped({"image/0.png": b"new", "label/0.png": b"new"})
    card = cells(archive=sha(smaller))
    del server.pages["/first/labels.npy"]
    server.put("/second/cells.zip", smaller)
    fetch(card, notes)
    assert listing(folder) == {"cells.zip", "fetched.json", "image/0.png", "label/0.png"}
