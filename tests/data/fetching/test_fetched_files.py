"""A fetched file counts for as long as it is untouched and its marker whole."""

import json
import os

import pytest
from served_cells import ALL, paths

from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.fetch import fetch
from emsym.data.fetching.verify import verify_data

pytestmark = pytest.mark.usefixtures("impatient", "kept")


@pytest.mark.parametrize("harm", ["delete", "append", "touch"])
@pytest.mark.parametrize("name", ["cells.zip", "image/1.png"])
def test_what_was_touched_is_not_there_and_is_repaired(cells, server, notes, harm, name):
    card = cells("archive")
    del server.pages["/first/image.npy"]
    path = fetch(card, notes).folder / name
    good = path.read_bytes()
    if harm == "delete":
        path.unlink()
    elif harm == "append":
        path.write_bytes(good + b"x")
    else:
        os.utime(path, ns=(1, 1))
    assert locate_data(card) is None
    count = paths(server).count("/second/cells.zip")
    assert fetch(card, notes).source == "second"
    assert path.read_bytes() == good
    again = name == "cells.zip" and harm != "touch"
    assert paths(server).count("/second/cells.zip") == count + again
    assert verify_data(card) == [("cells.zip", "")]


@pytest.mark.parametrize(
    "marker", ["", "{", "[]", "null", '{"files": {"image.npy": {}}}', '{"files": 1}', "\udcff"]
)
def test_a_damaged_marker_is_none(cells, notes, server, marker):
    card = cells(*ALL)
    folder = fetch(card, notes).folder
    (folder / "fetched.json").write_bytes(marker.encode(errors="surrogateescape"))
    assert locate_data(card) is None
    count = len(server.asked)
    assert fetch(card, notes).folder == folder
    assert len(server.asked) == count  # the files were there, and right


def test_a_marker_that_leads_elsewhere_is_none(cells, notes, tmp_path):
    card = cells(*ALL)
    path = fetch(card, notes).folder / "fetched.json"
    marker = json.loads(path.read_text())
    known = {key: marker["files"]["labels.npy"][key] for key in ("checksum", "size", "mtime_ns")}
    os.link(path.parent / "labels.npy", path.parent / "../../x")
    marker["files"]["image.npy"]["members"] = {"labels.npy": known}
    path.write_text(json.dumps(marker))
    assert locate_data(card) is not None
    marker["files"]["image.npy"]["members"] = {"../../x": known}
    path.write_text(json.dumps(marker))
    assert locate_data(card) is None


def test_what_lies_there_without_a_marker_is_not_trusted(cells, server, notes):
    card = cells()
    folder = fetch(card, notes).folder
    (folder / "fetched.json").unlink()
    (folder / "labels.npy").write_bytes(b"other")
    assert (fetch(card, notes).folder / "labels.npy").read_bytes() == b"labels"
