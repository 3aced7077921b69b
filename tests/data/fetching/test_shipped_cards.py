"""The cards that ship with emsym are read in the formats that their sources publish."""

import hashlib
import io
from pathlib import PurePosixPath

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from served_cells import BAD, hdf5, paths, relocated, sha, volume, zipped

from emsym.data.cards import list_cards, load_card
from emsym.data.fetching.availability import needed_files
from emsym.data.fetching.fetch import fetch
from emsym.data.labels import boundaries
from emsym.data.volume import Sections, open_volume

pytestmark = pytest.mark.usefixtures("impatient", "kept")


def tiff(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, array, photometric="minisblack")
    return target.getvalue()


def png(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(array).save(target, "PNG")
    return target.getvalue()


def rgba(mask: np.ndarray) -> np.ndarray:
    return np.repeat(mask[..., None] * np.uint8(255), 4, axis=-1)


def sections(card, instances: bool = False) -> Sections:
    """The whole volume, as a cell would read it."""
    volume = open_volume(card)
    return volume.read(0, volume.shape[0], instances)


def lucchi_pp() -> tuple[bytes, np.ndarray, np.ndarray]:
    raw, masks = (np.concatenate([volume(high) for _ in range(4)]) for high in (256, 2))
    members = {}
    for index, split in enumerate(("Train", "Test")):
        for z in range(6):
            members[f"Lucchi++/{split}_In/mask{z:04}.png"] = png(raw[6 * index + z])
            members[f"Lucchi++/{split}_Out/{z}.png"] = png(rgba(masks[6 * index + z]))
    return zipped(members), raw, masks > 0


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


@pytest.mark.parametrize("name", list_cards())
def test_every_path_of_a_shipped_card_leads_to_a_file_or_an_archive(name):
    card = load_card(name)
    for source in card.sources.values():
        names = needed_files(card, source)
        for files in (source.image, *source.labels.values()):
            for path in files.paths:
                known = any(PurePosixPath(file).match(path) for file in names)
                assert known or any(file.endswith((".zip", ".tar.gz", ".tgz")) for file in names)
