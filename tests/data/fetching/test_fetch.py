"""Data sets come whole or not at all, from the first source that can."""

import signal
import subprocess
import sys
import time

import pytest
from served_cells import ALL, ARCHIVE, BAD, BIG, listing, paths, sha

from emsym.data.fetching.availability import locate_data, require_data
from emsym.data.fetching.fetch import fetch
from emsym.data.fetching.fetched_files import source_folder
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")


CHILD = """
import sys
from emsym.data.cards import load_card
from emsym.data.fetching.fetch import fetch

class Quiet:
    def bytes(self, name, done, total): pass
    def say(self, text): print(text, flush=True)

print(fetch(load_card(sys.argv[1]), Quiet()).source, flush=True)
"""


def start(tmp_path) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "cells.toml")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("mirror", [False, True])
def test_offline_nothing_is_downloaded(cells, server, notes, mirror):
    with pytest.raises(UserError, match="emsym-bench data fetch"):
        fetch(cells(*ALL), notes, origin=f"{server.url}/first" if mirror else None, offline=True)
    assert not server.asked


def test_a_fetched_data_set_is_found_without_a_network_and_fetched_no_more(cells, server, notes):
    card = cells(*ALL)
    assert locate_data(card) is None
    located = fetch(card, notes)
    assert located.source == "first"
    assert (located.folder / "image.npy").read_bytes() == BIG
    assert listing(located.folder) == {"image.npy", "labels.npy", "fetched.json"}
    count = len(server.asked)
    server.server_close()
    assert locate_data(card) == require_data(card) == fetch(card, notes) == located
    assert len(server.asked) == count


def test_a_card_that_got_another_checksum_is_fetched_again(cells, server, notes):
    folder = fetch(cells(*ALL), notes).folder
    card = cells(*ALL, labels=sha(b"new labels"))
    server.put("/first/labels.npy", b"new labels")
    assert locate_data(card) is None
    fetch(card, notes)
    assert (folder / "labels.npy").read_bytes() == b"new labels"
    assert paths(server).count("/first/image.npy") == 1


def test_a_fetch_of_several_files_goes_on_where_it_failed(cells, server, notes):
    card = cells("image", "labels")
    server.pages["/first/labels.npy"].answers += [{"status": 404}]
    del server.pages["/second/cells.zip"]
    with pytest.raises(UserError):
        fetch(card, notes)
    fetch(card, notes)
    assert paths(server).count("/first/image.npy") == 1


@pytest.mark.parametrize("published", [ALL, ()], ids=["checksums", "none"])
def test_a_killed_download_goes_on_where_it_was(cells, server, notes, tmp_path, published):
    card = cells(*published)
    server.pages["/first/image.npy"].pause = 0.1
    part = source_folder(card, "first") / "image.npy.part"
    child = start(tmp_path)
    try:
        for _ in range(1000):
            if part.exists() and part.stat().st_size > 300_000:
                break
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    have = part.stat().st_size
    assert 300_000 < have < len(BIG)
    assert locate_data(card) is None
    server.pages["/first/image.npy"].pause = 0
    located = fetch(card, notes)
    resumed = [asked for asked in server.asked if asked.path == "/first/image.npy"][-1]
    assert (resumed.range, resumed.status) == (f"bytes={have}-", 206)
    assert (located.folder / "image.npy").read_bytes() == BIG
    assert listing(located.folder) == {"image.npy", "labels.npy", "fetched.json"}


def test_of_two_processes_one_fetches_and_the_other_says_that_it_waits(cells, server, tmp_path):
    cells(*ALL)
    server.pages["/first/image.npy"].pause = 0.05
    children = [start(tmp_path), start(tmp_path)]
    told = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(paths(server)) == ["/first/image.npy", "/first/labels.npy"]
    waits = "Another process is fetching 'cells': waiting for it.\n"
    assert sorted(told) == [f"{waits}first\n", "first\n"]


def test_a_source_that_was_mended_is_begun_afresh(cells, server, notes):
    card = cells(*ALL)
    server.pages["/first/image.npy"].content = BAD
    server.pages["/second/cells.zip"].content = BAD
    with pytest.raises(UserError):
        fetch(card, notes)
    server.pages["/first/image.npy"].content = BIG
    assert fetch(card, notes).source == "first"
    assert server.asked[-2].range is None


def test_when_all_sources_fail_each_reason_is_told(cells, server, notes):
    card = cells(*ALL)
    del server.pages["/first/labels.npy"]
    server.pages["/second/cells.zip"].content = BAD
    with pytest.raises(UserError) as told:
        fetch(card, notes)
    text = str(told.value)
    assert f"from 'first': {server.url}/first/labels.npy answered 404" in text
    assert f"from 'second': cells.zip has the checksum {sha(BAD)} instead of {sha(ARCHIVE)}" in text
    assert "--from DIR" in text
    assert locate_data(card) is None


def test_a_folder_that_cannot_be_written_is_told(cells, notes, kept):
    kept.write_text("a file")
    with pytest.raises(UserError, match="cannot be kept in"):
        fetch(cells(), notes)


def test_a_mirror_of_one_s_own_is_asked_instead(cells, server, notes):
    card = cells(*ALL)
    for name in ("image.npy", "labels.npy"):
        server.pages[f"/own/{name}"] = server.pages.pop(f"/first/{name}")
    assert fetch(card, notes, origin=f"{server.url}/own").source == "first"
    assert paths(server) == ["/own/image.npy", "/own/labels.npy"]
