"""Files that a person has are taken where they are those of the card."""

import os

import pytest
from served_cells import ALL, ARCHIVE, BIG, listing, sha

from emsym.data.cards import Files, RemoteFile
from emsym.data.fetching.fetch import fetch
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_s_files_are_taken_without_a_network(
    cells, server, notes, own, links, monkeypatch
):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    card = cells(*ALL)
    located = fetch(card, notes, origin=str(own))
    assert (located.source, located.sums["image.npy"]) == ("first", sha(BIG))
    assert (located.folder / "image.npy").read_bytes() == BIG
    assert (located.folder / "image.npy").samefile(own / "image.npy") == links
    assert server.asked == []
    assert notes.said == []


def test_a_folder_s_file_that_is_not_the_card_s_is_left_alone(cells, notes, own):
    card = cells(*ALL)
    wrong = bytes([BIG[0] ^ 1]) + BIG[1:]
    (own / "image.npy").write_bytes(wrong)
    with pytest.raises(UserError, match=f"{sha(wrong)} instead of {sha(BIG)}"):
        fetch(card, notes, origin=str(own))
    assert (own / "image.npy").read_bytes() == wrong
    assert listing(own) == {"image.npy", "labels.npy"}
    (own / "cells.zip").write_bytes(ARCHIVE)
    assert fetch(card, notes, origin=str(own)).source == "second"


def test_what_a_folder_lacks_is_told_for_the_closest_source(cells, server, notes, own):
    card = cells(*ALL)
    (own / "image.npy").unlink()
    (own / "cells.zip").mkdir()
    with pytest.raises(UserError, match=r"source 'first', image\.npy would be needed"):
        fetch(card, notes, origin=str(own))
    (own / "labels.npy").unlink()
    with pytest.raises(UserError, match=r"source 'first', image\.npy, labels\.npy would be"):
        fetch(card, notes, origin=str(own))
    with pytest.raises(UserError, match="nowhere is not a folder"):
        fetch(card, notes, origin=str(own / "nowhere"))
    assert server.asked == []


def test_the_last_part_of_a_name_will_do_where_it_is_the_only_one(cells, notes, own):
    card = cells()
    files = {
        "a/image.npy": RemoteFile(url="http://x/"),
        "b/labels.npy": RemoteFile(url="http://x/"),
    }
    update = {
        "files": files,
        "image": Files(path="a/image.npy"),
        "labels": {"cells": Files(path="b/labels.npy")},
    }
    source = card.sources["first"].model_copy(update=update)
    card = card.model_copy(update={"sources": {"first": source}})
    located = fetch(card, notes, origin=str(own))
    assert (located.folder / "b/labels.npy").read_bytes() == b"labels"


def test_one_name_does_not_stand_for_two_files(cells, notes, own):
    card = cells()
    files = {f"{kind}/image.npy": RemoteFile(url="http://x/") for kind in "ab"}
    source = card.sources["first"].model_copy(
        update={"files": files, "image": Files(path="*/image.npy")}
    )
    card = card.model_copy(update={"sources": {"first": source}})
    with pytest.raises(UserError, match=r"a/image\.npy, b/image\.npy would be needed"):
        fetch(card, notes, origin=str(own))
