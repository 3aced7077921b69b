"""Data sets come whole or not at all, from the first source that can, and are told apart."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from emsym.data.cards import Files, RemoteFile, SplitSchema, list_cards, load_card
from emsym.data.fetching.availability import locate_data, needed_files, require_data
from emsym.data.fetching.data_digest import data_digest, published_digest
from emsym.data.fetching.fetch import fetch
from emsym.data.fetching.fetched_files import source_folder
from emsym.data.fetching.verify import discard_pinned_files, verify_data
from emsym.data.labels import boundaries
from emsym.data.volume import Sections, open_volume
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")

RANDOM = np.random.default_rng(0)
BIG = RANDOM.integers(0, 256, 2_000_000, np.uint8).tobytes()
BAD = b"not what was asked for"

CARD = """\
name = "cells"
title = "Cells"
modality = "TEM"
voxel_size_nm = [40, 4, 4]
licence = "CC0-1.0"

[tasks.cells]
labels = "cells"
classes = {{ rest = "== 0", cell = "> 0" }}
foreground = "cell"
instances = "foreground"

[split]
train = [0, 8]
test = [8, 12]

[sources.first]
url = "{url}/first/"
image = {{ path = "image.npy" }}
labels.cells = {{ path = "labels.npy" }}
[sources.first.files]
"image.npy" = {image}
"labels.npy" = {labels}

[sources.second]
url = "{url}/second/"
image = {{ path = "image/*.png" }}
labels.cells = {{ path = "label/*.png" }}
[sources.second.files]
"cells.zip" = {archive}
"""


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


MEMBERS = {
    f"{kind}/{z}.png": b"%s %d" % (kind.encode(), z) for kind in ("image", "label") for z in (0, 1)
}
ARCHIVE = zipped(MEMBERS)
CONTENT = {"first/image.npy": BIG, "first/labels.npy": b"labels", "second/cells.zip": ARCHIVE}


@pytest.fixture
def cells(server, tmp_path):
    """A card with two sources on the server; `published` says of which files it has checksums."""

    def cells(*published: str, **sums: str):
        for path, content in CONTENT.items():
            server.put(f"/{path}", content)
        known = {
            key: sums.get(key, sha(CONTENT[path]) if key in published else None)
            for key, path in zip(("image", "labels", "archive"), CONTENT, strict=True)
        }
        told = {key: f'{{ checksum = "{sum}" }}' if sum else "{}" for key, sum in known.items()}
        path = tmp_path / "cells.toml"
        path.write_text(CARD.format(url=server.url, **told))
        return load_card(str(path))

    return cells


ALL = ("image", "labels", "archive")


def paths(server) -> list[str]:
    return [asked.path for asked in server.asked]


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- the published formats ------------------------------------------------------------------------


def tiff(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, array, photometric="minisblack")
    return target.getvalue()


def png(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(array).save(target, "PNG")
    return target.getvalue()


def hdf5(**arrays: np.ndarray) -> bytes:
    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key.replace("__", "/"), data=array, compression="gzip")
    return target.getvalue()


def volume(high: int = 256, dtype=np.uint8) -> np.ndarray:
    return RANDOM.integers(0, high, (3, 8, 8)).astype(dtype)


def rgba(mask: np.ndarray) -> np.ndarray:
    return np.repeat(mask[..., None] * np.uint8(255), 4, axis=-1)


def relocated(server, name: str, contents: dict[str, dict[str, bytes]]):
    """A card as shipped, but with small files on the server, by source and name; the others 404."""
    card = load_card(name)
    sources = {}
    for source_name, source in card.sources.items():
        files = {}
        for file in source.files:
            remote = source.remote_file(file)
            path = "/" + str(remote.url).split("://")[-1].partition("/")[2]
            content = contents.get(source_name, {}).get(file)
            kind = (remote.checksum or "").partition(":")[0]
            known = remote.checksum
            if content is not None:
                server.put(
                    PurePosixPath(path.replace("%20", " ").replace("%2B", "+")).as_posix(), content
                )
                known = f"{kind}:{hashlib.new(kind, content).hexdigest()}" if kind else None
            url = remote.url if str(remote.url).startswith("doi:") else server.url + path
            files[file] = RemoteFile(url=url, checksum=known)
        sources[source_name] = source.model_copy(update={"files": files})
    split = SplitSchema(train=(0, 2), test=(2, 3))  # small enough for small files
    return card.model_copy(update={"sources": sources, "shape": None, "split": split})


def sections(card, instances: bool = False) -> Sections:
    """The whole volume, as a cell would read it."""
    volume = open_volume(card)
    return volume.read(0, volume.shape[0], instances)


def test_snemi_comes_as_a_zip_of_tiffs_with_an_md5(server, notes):
    raw, ids = volume(), volume(400, np.uint16)
    archive = zipped(
        {
            "image/train-input.tif": tiff(raw),
            "seg/train-labels.tif": tiff(ids),
            "image/test-input.tif": tiff(volume()),
        }
    )
    card = relocated(server, "snemi3d", {"zenodo": {"snemi.zip": archive}})
    located = fetch(card, notes)
    assert located.source == "zenodo"
    assert located.sums == {"snemi.zip": f"md5:{hashlib.md5(archive).hexdigest()}"}
    read = sections(card, instances=True)
    np.testing.assert_array_equal(read.image, raw)
    np.testing.assert_array_equal(read.instances, ids)
    np.testing.assert_array_equal(read.foreground, boundaries(ids))
    assert paths(server) == ["/records/7142003/files/snemi.zip"]


def test_snemi_comes_as_hdf5_where_zenodo_is_busy(server, notes):
    raw, ids = volume(), volume(400, np.uint64)
    content = hdf5(volumes__raw=raw, volumes__labels__neuron_ids=ids)
    card = relocated(
        server, "snemi3d", {"zenodo": {"snemi.zip": b""}, "embl": {"snemi_train.h5": content}}
    )
    busy = {"status": 429, "headers": {"Retry-After": "0"}}
    server.pages["/records/7142003/files/snemi.zip"].answers.extend([busy] * 50)
    assert fetch(card, notes).source == "embl"
    read = sections(card, instances=True)
    np.testing.assert_array_equal(read.image, raw)
    np.testing.assert_array_equal(read.instances, ids)


def test_lucchi_comes_as_four_tiffs_that_are_pinned(server, notes):
    names = ["training", "training_groundtruth", "testing", "testing_groundtruth"]
    arrays = {f"{name}.tif": volume() for name in names}
    files = {name: tiff(array) for name, array in arrays.items()}
    card = relocated(server, "lucchi", {"epfl": files})
    located = fetch(card, notes)
    assert located.sums == {name: sha(content) for name, content in files.items()}
    assert all(" ElectronMicroscopy_Hippocampus/" in path for path in paths(server))
    read = sections(card)
    raw = np.concatenate([arrays["training.tif"], arrays["testing.tif"]])
    truth = np.concatenate([arrays[f"{name}_groundtruth.tif"] for name in ("training", "testing")])
    np.testing.assert_array_equal(read.image, raw)
    np.testing.assert_array_equal(read.foreground, truth > 0)
    assert len(notes.said) == 1
    assert "Nobody published a checksum of" in notes.said[0]
    assert "can be written into the card" in notes.said[0]


def lucchi_pp() -> tuple[bytes, np.ndarray, np.ndarray]:
    raw, masks = (np.concatenate([volume(high) for _ in range(4)]) for high in (256, 2))
    members = {}
    for index, split in enumerate(("Train", "Test")):
        for z in range(6):
            members[f"Lucchi++/{split}_In/mask{z:04}.png"] = png(raw[6 * index + z])
            members[f"Lucchi++/{split}_Out/{z}.png"] = png(rgba(masks[6 * index + z]))
    return zipped(members), raw, masks > 0


def test_lucchi_pp_comes_as_a_zip_of_png_folders_with_rgba_masks(server, notes):
    archive, raw, truth = lucchi_pp()
    card = relocated(server, "lucchi++", {"casser": {"lucchi_pp.zip": archive}})
    assert fetch(card, notes).source == "casser"
    read = sections(card)
    np.testing.assert_array_equal(read.image, raw)
    np.testing.assert_array_equal(read.foreground, truth)


def test_lucchi_pp_comes_as_hdf5_where_its_own_site_is_down_or_changed(server, notes):
    arrays = {
        f"{split}_{what}.h5": volume(high)
        for split in ("train", "test")
        for what, high in (("im", 256), ("mito", 2))
    }
    archive = zipped({name: hdf5(main=array) for name, array in arrays.items()})
    card = relocated(
        server, "lucchi++", {"casser": {"lucchi_pp.zip": b"1"}, "pytc": {"lucchi++.zip": archive}}
    )
    server.pages["/files/lucchi_pp.zip"].content = BAD
    located = fetch(card, notes)
    assert located.source == "pytc"
    assert located.sums == {"lucchi++.zip": sha(archive)}
    read = sections(card)
    np.testing.assert_array_equal(
        read.image, np.concatenate([arrays["train_im.h5"], arrays["test_im.h5"]])
    )
    np.testing.assert_array_equal(
        read.foreground, np.concatenate([arrays["train_mito.h5"], arrays["test_mito.h5"]]) > 0
    )
    assert "'lucchi++' cannot be had from 'casser'" in notes.said[0]


def test_isbi_comes_as_60_sections_or_as_hdf5(server, notes):
    raw, truth = volume(), volume(2) * np.uint8(255)
    content = hdf5(raw=raw, labels__membranes=truth)
    card = relocated(server, "isbi2012", {"embl": {"isbi.h5": content}})
    assert fetch(card, notes).source == "embl"
    np.testing.assert_array_equal(sections(card).foreground, truth == 0)
    names = [f"{kind}/{z}.png" for kind in ("image", "label") for z in range(30)]
    planes = {name: volume(2)[0] * np.uint8(255) for name in names}
    files = {name: png(plane) for name, plane in planes.items()}
    card = relocated(server, "isbi2012", {"png": files})
    assert fetch(card, notes).source == "png"
    read = sections(card)
    np.testing.assert_array_equal(read.image, [planes[f"image/{z}.png"] for z in range(30)])
    np.testing.assert_array_equal(
        read.foreground, [planes[f"label/{z}.png"] == 0 for z in range(30)]
    )


def test_vnc_comes_as_sections_with_masks_of_mixed_depth(server, notes):
    raw = {f"raw/{z:02}.tif": volume()[0] for z in range(20)}
    masks = {
        f"{layer}/{z:02}.png": volume(2)[0].astype(bool) if z % 2 else volume()[0]
        for layer in ("membranes", "mitochondria", "synapses")
        for z in range(20)
    }
    files = {name: tiff(plane) for name, plane in raw.items()}
    files |= {name: png(plane) for name, plane in masks.items()}
    card = relocated(server, "vnc", {"github": files})
    fetch(card, notes)
    assert any("synapses/00.png" in said for said in notes.said)  # pinned
    for chosen in card.single_task_cards():
        read = sections(chosen)
        np.testing.assert_array_equal(read.image, list(raw.values()))
        layer = chosen.name.partition(":")[2]
        np.testing.assert_array_equal(
            read.foreground, [masks[f"{layer}/{z:02}.png"] > 0 for z in range(20)]
        )


@pytest.mark.parametrize("name", ["cremi-a", "cremi-b", "cremi-c"])
def test_cremi_comes_as_hdf5_with_ids_of_64_bits(server, notes, name):
    nothing = np.uint64(2**64 - 1)
    raw, ids = volume(), volume(5, np.uint64) + 2**53 * np.uint64(1)
    clefts = np.where(volume(2) > 0, np.uint64(3), nothing)
    content = hdf5(
        volumes__raw=raw, volumes__labels__neuron_ids=ids, volumes__labels__clefts=clefts
    )
    file = f"sample_{name[-1].upper()}_20160501.hdf"
    card = relocated(server, name, {"cremi": {file: content}})
    assert fetch(card, notes).source == "cremi"
    membranes, found = (sections(each, instances=True) for each in card.single_task_cards())
    np.testing.assert_array_equal(membranes.image, raw)
    np.testing.assert_array_equal(membranes.instances, ids)
    np.testing.assert_array_equal(membranes.foreground, boundaries(ids, 3))
    np.testing.assert_array_equal(found.foreground, clefts != nothing)


@pytest.fixture
def zenodo(server, monkeypatch):
    """GF-PA66's record on a Zenodo that is this server: its API's page, and the file's."""
    content = hdf5(pa66__data=volume(), pa66__ground_truth=volume(3))
    monkeypatch.setattr(
        "pooch.downloaders.doi_to_url", lambda doi, **_: f"https://zenodo.org/records/{doi[-7:]}"
    )
    monkeypatch.setattr(
        "pooch.downloaders.ZenodoRepository.base_api_url", f"{server.url}/api/records"
    )
    file = {
        "key": "pa66_volumes.h5",
        "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
        "links": {"self": f"{server.url}/pa66_volumes.h5/content"},
    }
    api = server.put("/api/records/4587827", json.dumps({"id": 4587827, "files": [file]}).encode())
    return api, server.put("/pa66_volumes.h5/content", content)


@pytest.fixture
def gf_pa66(server, zenodo):
    card = relocated(server, "gf-pa66", {})
    source = card.sources["zenodo"]
    assert str(source.remote_file("pa66_volumes.h5").url).startswith("doi:")
    files = {"pa66_volumes.h5": RemoteFile(url=source.remote_file("pa66_volumes.h5").url)}
    return card.model_copy(
        update={"sources": {"zenodo": source.model_copy(update={"files": files})}}
    )


def test_gf_pa66_comes_by_its_doi_and_is_checked_against_the_record(gf_pa66, zenodo, notes):
    api, file = zenodo
    api.answers.append({"status": 429, "headers": {"Retry-After": "0"}, "body": b"{}"})
    located = fetch(gf_pa66, notes)
    assert located.sums == {"pa66_volumes.h5": f"md5:{hashlib.md5(file.content).hexdigest()}"}
    with h5py.File(io.BytesIO(file.content)) as published:
        image, phases = published["pa66/data"][:], published["pa66/ground_truth"][:]
    for chosen, phase in zip(gf_pa66.single_task_cards(), (1, 2), strict=True):
        read = sections(chosen)
        np.testing.assert_array_equal(read.image, image)
        np.testing.assert_array_equal(read.foreground, phases == phase)
    assert not any("Nobody published" in said for said in notes.said)


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


@pytest.mark.parametrize("mirror", [False, True])
def test_offline_nothing_is_downloaded(cells, server, notes, mirror):
    with pytest.raises(UserError, match="emsym-bench data fetch"):
        fetch(cells(*ALL), notes, origin=f"{server.url}/first" if mirror else None, offline=True)
    assert not server.asked


# --- what is needed -------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", list_cards())
def test_every_path_of_a_shipped_card_leads_to_a_file_or_an_archive(name):
    card = load_card(name)
    for source in card.sources.values():
        names = needed_files(card, source)
        for files in (source.image, *source.labels.values()):
            for path in files.paths:
                known = any(PurePosixPath(file).match(path) for file in names)
                assert known or any(file.endswith((".zip", ".tar.gz", ".tgz")) for file in names)


# --- being there ----------------------------------------------------------------------------------


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


def test_a_card_that_got_another_checksum_is_fetched_again(cells, server, notes):
    folder = fetch(cells(*ALL), notes).folder
    card = cells(*ALL, labels=sha(b"new labels"))
    server.put("/first/labels.npy", b"new labels")
    assert locate_data(card) is None
    fetch(card, notes)
    assert (folder / "labels.npy").read_bytes() == b"new labels"
    assert paths(server).count("/first/image.npy") == 1


# --- resuming and competing -----------------------------------------------------------------------


def test_a_fetch_of_several_files_goes_on_where_it_failed(cells, server, notes):
    card = cells("image", "labels")
    server.pages["/first/labels.npy"].answers += [{"status": 404}]
    del server.pages["/second/cells.zip"]
    with pytest.raises(UserError):
        fetch(card, notes)
    fetch(card, notes)
    assert paths(server).count("/first/image.npy") == 1


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


# --- mirrors, checksums and pins ------------------------------------------------------------------


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


def test_what_lies_there_without_a_marker_is_not_trusted(cells, server, notes):
    card = cells()
    folder = fetch(card, notes).folder
    (folder / "fetched.json").unlink()
    (folder / "labels.npy").write_bytes(b"other")
    assert (fetch(card, notes).folder / "labels.npy").read_bytes() == b"labels"


def test_a_disk_without_room_for_all_files_is_told_before_the_first(
    cells, server, notes, monkeypatch
):
    card = cells()
    files = {"image.npy": RemoteFile(size=600), "labels.npy": RemoteFile(size=600)}
    source = card.sources["first"].model_copy(update={"files": files})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"1\.2 kB are needed .* only 1\.0 kB are free"):
        fetch(card.model_copy(update={"sources": {"first": source}}), notes)
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_told(cells, notes, kept):
    kept.write_text("a file")
    with pytest.raises(UserError, match="cannot be kept in"):
        fetch(cells(), notes)


# --- archives -------------------------------------------------------------------------------------


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


# --- a folder or a mirror of one's own ------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """A person's folder with the files of the first source."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "image.npy").write_bytes(BIG)
    (folder / "labels.npy").write_bytes(b"labels")
    return folder


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


def test_a_mirror_of_one_s_own_is_asked_instead(cells, server, notes):
    card = cells(*ALL)
    for name in ("image.npy", "labels.npy"):
        server.pages[f"/own/{name}"] = server.pages.pop(f"/first/{name}")
    assert fetch(card, notes, origin=f"{server.url}/own").source == "first"
    assert paths(server) == ["/own/image.npy", "/own/labels.npy"]


# --- verify ---------------------------------------------------------------------------------------


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


# --- digest ---------------------------------------------------------------------------------------


def test_a_digest_is_the_same_before_and_after_fetching_what_was_published(cells, notes):
    card = cells(*ALL)
    before = data_digest(card)
    fetch(card, notes)
    assert data_digest(card) == before
    assert data_digest(cells("image", "archive", labels=sha(b"other"))) != before


def test_a_digest_follows_split_task_name_and_where_arrays_lie(cells):
    card = cells(*ALL)
    source = card.sources["first"]
    task = card.task
    changes = [
        {"name": "other"},
        {"split": card.split.model_copy(update={"test": (9, 12)})},
        {"tasks": {"cells": task.model_copy(update={"instances": "between"})}},
        {
            "sources": {
                "first": source.model_copy(update={"image": Files(path="image.npy", axes="xyz")})
            }
        },
    ]
    digests = {
        data_digest(card),
        *(data_digest(card.model_copy(update=change)) for change in changes),
    }
    assert len(digests) == 5
    same = {"title": "Other", "licence": "Other", "sources": {"renamed": source}}
    assert data_digest(card.model_copy(update=same)) == data_digest(card)


def test_a_digest_of_local_files_is_of_their_bytes(cells, tmp_path):
    card = cells()
    local = card.sources["first"].model_copy(update={"files": {}, "url": None})
    card = card.model_copy(update={"sources": {"here": local}})
    (tmp_path / "image.npy").write_bytes(b"1")
    (tmp_path / "labels.npy").write_bytes(b"2")
    before = data_digest(card)
    assert data_digest(card) == before
    (tmp_path / "labels.npy").write_bytes(b"3")
    assert data_digest(card) != before


def test_what_is_published_says_the_digest_of_every_machine(cells, notes):
    card = cells(*ALL)
    published = published_digest(card, "first")
    fetch(card, notes)
    assert published == data_digest(card)
    assert published_digest(cells("image", "archive"), "first") is None, "of labels nobody knows"
    phantom = load_card("phantom-fibres")
    assert published_digest(phantom, "phantom") == data_digest(phantom)


def test_a_digest_of_a_phantom_follows_its_seed():
    card = load_card("phantom-fibres")
    other = card.model_copy(update={"phantom": card.phantom.model_copy(update={"seed": 99})})
    assert data_digest(card) != data_digest(other)


# --- manners --------------------------------------------------------------------------------------


def test_looking_imports_neither_requests_nor_pooch(kept):
    code = (
        "import sys; from emsym.data import cards; from emsym.data.fetching import availability;"
        "availability.locate_data(cards.load_card('snemi3d'));"
        "print(*{'requests', 'pooch', 'torch'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
