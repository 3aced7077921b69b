"""Every byte that was fetched is read again and compared."""

import os

import pytest
from served_cells import ALL, paths, sha

from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.fetch import fetch
from emsym.data.fetching.verify import discard_pinned_files, verify_data
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")


def test_what_nobody_vouches_for_and_is_of_no_use_is_asked_for_again(cells, server, notes):
    card = cells()
    located = fetch(card, notes)
    assert discard_pinned_files(card, located)
    assert locate_data(card) is None
    assert (located.folder / f"labels.npy.bad-{sha(b'labels')[7:15]}").read_bytes() == b"labels"
    server.pages["/first/labels.npy"].content = b"better"
    assert (fetch(card, notes).folder / "labels.npy").read_bytes() == b"better"
    published = cells(*ALL)
    assert not discard_pinned_files(published, fetch(published, notes))


@pytest.mark.parametrize("offline", [False, True])
def test_a_copy_that_lost_its_times_is_looked_into_and_kept(cells, server, notes, offline):
    card = cells("archive")
    del server.pages["/first/image.npy"]
    folder = fetch(card, notes).folder
    count = len(server.asked)
    for path in folder.rglob("*"):
        os.utime(path, ns=(1, 1))
    assert locate_data(card) is None
    assert fetch(card, notes, offline=offline).source == "second"
    assert "/second/cells.zip" not in paths(server)[count:]
    (folder / "image" / "1.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match="not on this machine"):
        fetch(card, notes, offline=True)


def test_verify_reads_every_byte(cells, server, notes):
    card = cells("archive")
    del server.pages["/first/labels.npy"]
    folder = fetch(card, notes).folder
    assert verify_data(card) == [("cells.zip", "")]
    path = folder / "image/1.png"
    times, good = path.stat(), path.read_bytes()
    path.write_bytes(b"IMAGE 1")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert locate_data(card) is not None  # as nothing that a look tells has changed
    assert verify_data(card) == [
        ("cells.zip", ""),
        ("image/1.png", f"has the checksum {sha(b'IMAGE 1')} instead of {sha(good)}"),
    ]
    assert locate_data(card) is None
    assert fetch(card, notes).source == "second"
    assert path.read_bytes() == good
    assert verify_data(card) == [("cells.zip", "")]


def test_verify_works_in_a_folder_that_is_not_ours_to_write(cells, notes, monkeypatch):
    card = cells()
    folder = fetch(card, notes).folder
    (folder / "labels.npy").write_bytes(b"LABELS")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    told = dict(verify_data(card))
    assert told["image.npy"] == ""
    assert told["labels.npy"].startswith("has the checksum")


def test_verify_tells_what_is_missing(cells, notes):
    card = cells()
    folder = fetch(card, notes).folder
    (folder / "labels.npy").unlink()
    assert verify_data(card) == [("image.npy", ""), ("labels.npy", "is missing")]


def test_verify_of_what_was_never_fetched_tells_how_it_is_fetched(cells):
    with pytest.raises(UserError, match="data fetch"):
        verify_data(cells())
