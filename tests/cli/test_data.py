"""`data …` as a user meets it: real processes, real files, and wrong ones."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from emsym.data.cards import list_cards, load_card

BENCH = Path(sys.executable).with_name("emsym-bench")
CARDS_PAGE = Path(__file__).parents[2] / "datasets" / "README.md"
ADDRESS = "http://127.0.0.1:9"
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (10, 48, 40), np.uint8)
MASK = np.where(IMAGE > 200, 255, 0).astype(np.uint8)

CARD = """\
name = "cells"
title = "Cells of something"
modality = "TEM"
voxel_size_nm = [40, 4, 4]
licence = "CC0-1.0"
citation = "Someone 2026"

[tasks.cells]
labels = "cells"
classes = {{ rest = "== 0", cell = "> 0" }}
foreground = "cell"
instances = "foreground"

[split]
train = [0, 7]
test = [7, 10]

[sources.web]
image = {{ path = "raw.tif" }}
labels.cells = {{ path = "mask/*.png" }}

[sources.web.files."cells.zip"]
url = "{url}/cells.zip"
checksum = "sha256:{checksum}"
"""


def bench(
    *words: object, cwd: Path, group: tuple[str, ...] = ("data",)
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BENCH, *group, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "EMSYM_DATA_DIR": str(cwd / "kept")},
    )


@pytest.fixture
def cells(tmp_path: Path):
    """A card whose archive lies on a server of this machine; (its path, the archive's)."""
    folder = tmp_path / "served"
    (folder / "mask").mkdir(parents=True)
    tifffile.imwrite(folder / "raw.tif", IMAGE, photometric="minisblack")
    for z, section in enumerate(MASK):
        Image.fromarray(section).save(folder / "mask" / f"{z}.png")
    archive = folder / "cells.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in [folder / "raw.tif", *(folder / "mask").iterdir()]:
            opened.write(path, path.relative_to(folder))

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        card = tmp_path / "cells.toml"
        checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
        url = f"http://127.0.0.1:{server.server_port}"
        card.write_text(CARD.format(url=url, checksum=checksum))
        yield card, archive
        server.shutdown()


def assert_is_picture(path: Path) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).std() > 20


# --- list, show -----------------------------------------------------------------------------------


def test_list_shows_every_data_set_and_whether_it_is_here(tmp_path: Path) -> None:
    done = bench("list", cwd=tmp_path)
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[2:]}
    assert set(rows) == set(list_cards())
    assert rows["snemi3d"].endswith("no")
    assert rows["phantom-fibres"].endswith("no need")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_show_of_what_is_not_here_tells_how_to_get_it(tmp_path: Path) -> None:
    done = bench("show", "gf-pa66", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("X-ray CT", "CC BY-SA 4.0", "Bertoldo", "1300 × 1300 × 1300 nm", "doi:10.5281"):
        assert word in done.stdout
    assert "`emsym-bench data fetch gf-pa66`" in done.stdout
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("card", "slices"), [("phantom-fibres", 7), ("tiny-a.toml", 1), ("tiny-a.toml", 3)]
)
def test_show_draws_a_phantom(tiny: Path, card: str, slices: int) -> None:
    done = bench("show", card, "--slices", slices, cwd=tiny.parent)
    assert done.returncode == 0, done.stderr
    assert_is_picture(tiny.with_name(card.removesuffix(".toml") + ".png"))
    assert "of train" in done.stdout


def test_croissant_takes_the_checksum_of_what_was_fetched_where_the_card_has_none(
    cells, tmp_path: Path
) -> None:
    card, archive = cells
    card.write_text(re.sub("checksum = .*\n", "", card.read_text()))
    before = bench("croissant", card, cwd=tmp_path)
    assert before.returncode == 0, before.stderr
    assert "sha256" not in json.loads(before.stdout)["distribution"][0]
    assert "nobody tells a checksum of cells.zip" in before.stderr
    assert bench("fetch", card, cwd=tmp_path).returncode == 0
    after = bench("croissant", card, cwd=tmp_path)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert json.loads(after.stdout)["distribution"][0]["sha256"] == sha256
    assert after.stderr == ""


def test_json_has_the_facts_of_cards(cells, tmp_path: Path) -> None:
    told = json.loads(bench("list", "--json", cwd=tmp_path).stdout)
    rows = {each["name"]: each for each in told["datasets"]}
    assert set(rows) == set(list_cards())
    assert rows["phantom-fibres"]["on_disk"] is None
    assert rows["snemi3d"]["on_disk"] == []
    card, _ = cells
    assert json.loads(bench("show", card, "--json", cwd=tmp_path).stdout)["on_disk"] == []
    assert bench("fetch", card, cwd=tmp_path).returncode == 0
    told = json.loads(bench("show", card, "--json", cwd=tmp_path).stdout)
    assert (told["licence"], told["on_disk"]) == ("CC0-1.0", ["cells"])
    assert not list(tmp_path.glob("*.png"))
    (told,) = json.loads(bench("verify", card, "--json", cwd=tmp_path).stdout)["datasets"]
    assert told["files"] == {"cells.zip": None}
    assert told["foreground"]["cells"]["test"] == pytest.approx((MASK[7:] > 0).mean())


# --- fetch, verify, path --------------------------------------------------------------------------


def test_one_command_fetches_verifies_and_shows_the_licence(cells, tmp_path: Path) -> None:
    card, _ = cells
    done = bench("fetch", card, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "10 × 48 × 40 voxels" in done.stdout
    assert "CC0-1.0" in done.stdout
    assert "Someone 2026" in done.stdout
    folder = Path(bench("path", card, cwd=tmp_path).stdout.strip())
    np.testing.assert_array_equal(tifffile.imread(folder / "raw.tif"), IMAGE)
    verified = bench("verify", card, cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    share = (MASK[7:] > 0).mean()
    assert f"{share:.3f} of test" in verified.stdout
    assert "1 of 1 files as they were fetched" in verified.stdout
    shown = bench("show", card, "--picture", "seen.png", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert_is_picture(tmp_path / "seen.png")


@pytest.mark.slow
def test_run_fetches_what_it_lacks_and_offline_says_what(cells, tiny: Path) -> None:
    card, _ = cells
    words = ("run", "--protocol", tiny, "--dataset", card, "--seed", 0, "--init", "rgb")
    done = bench(*words, "--offline", cwd=tiny.parent, group=())
    assert done.returncode == 2
    assert "cells.zip is missing" in done.stderr
    assert "emsym-bench data fetch" in done.stderr
    done = bench(*words, cwd=tiny.parent, group=())
    assert done.returncode == 0, done.stderr
    assert "licence: CC0-1.0; cite: Someone 2026" in done.stdout
    (path,) = (tiny.parent / "emsym-results" / "records").glob("*.json")
    stamp = json.loads(path.read_text())["dataset"]
    assert (stamp["source"], stamp["citation"]) == ("web", "Someone 2026")
    assert "Someone 2026" in (tiny.parent / "emsym-results" / "leaderboard.md").read_text()


def test_a_wrong_file_is_named_with_both_sums(cells, tmp_path: Path) -> None:
    card, archive = cells
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + b"?")
    done = bench("fetch", card, cwd=tmp_path)
    assert done.returncode == 2
    for known in (content, content[:-1] + b"?"):
        assert hashlib.sha256(known).hexdigest() in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_finds_what_was_damaged_and_fetch_mends_it(cells, tmp_path: Path) -> None:
    card, _ = cells
    bench("fetch", card, cwd=tmp_path)
    section = Path(bench("path", card, cwd=tmp_path).stdout.strip()) / "mask" / "3.png"
    good, times = section.read_bytes(), section.stat()
    section.write_bytes(good[:-1] + b"?")
    os.utime(section, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a failing disk would
    done = bench("verify", card, cwd=tmp_path)
    assert done.returncode == 2
    assert "3.png" in done.stderr
    assert bench("fetch", card, cwd=tmp_path).returncode == 0
    assert section.read_bytes() == good


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fetch", "snemi"), "did you mean 'snemi3d'"),
        (("list", "--markdown", "--json"), "take one"),
        (("show", "vnc", "--json", "--picture", "a.png"), "leave --picture out"),
        (("fetch", "vnc:axons"), "no task 'axons'"),
        (("fetch",), "NAME"),
        (("fetch", "none.toml"), "cannot be read"),
        (("fetch", "snemi3d", "--offline"), "emsym-bench data fetch snemi3d"),
        (("fetch", "snemi3d", "--from", "nowhere"), "nowhere"),
        (("path", "snemi3d"), "is not on this machine"),
        (("path", "phantom-fibres"), "made on the spot"),
        (("verify", "snemi3d"), "is not on this machine"),
        (("show", "snemi3d", "--slices", 0), "--slices"),
        (("show", "snemi3d", "--slices", 4), "an odd number of slices"),
        (("show", "snemi3d", "--slices", 21), "no more than the 20 of the test split"),
        (("new", "my.card", "--image", "a", "--labels", "b"), "NAME.toml"),
        (("new", "my.toml", "--image", "a.tif"), "--labels"),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_code_2(
    tmp_path: Path, words: tuple, said: str
) -> None:
    done = bench(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_what_is_there_of_a_card_with_several_tasks_is_verified_and_found(
    cells, tmp_path: Path
) -> None:
    card, _ = cells
    text = card.read_text()
    more = text[text.index("[tasks.cells]") : text.index("[split]")].replace("cells", "holes")
    text = text.replace("[split]", f"{more}[split]").replace(
        "labels.cells = { path", 'labels.holes = { path = "holes.tif" }\nlabels.cells = { path'
    )
    card.write_text(text + f'\n[sources.web.files."holes.tif"]\nurl = "{ADDRESS}/holes.tif"\n')
    assert bench("fetch", f"{card}:cells", cwd=tmp_path).returncode == 0
    verified = bench("verify", card, cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert "holes" not in verified.stdout
    assert Path(bench("path", card, cwd=tmp_path).stdout.strip()).is_dir()
    assert "holes.tif" in bench("fetch", card, "--offline", cwd=tmp_path).stderr


def test_verify_reads_the_image_of_one_s_own_volume_too(tmp_path: Path) -> None:
    np.save(tmp_path / "vol.npy", IMAGE.astype(np.float32))
    np.save(tmp_path / "lab.npy", MASK)
    assert new(tmp_path, "vol.npy", "lab.npy").returncode == 0
    assert bench("verify", "my.toml", cwd=tmp_path).returncode == 0
    np.save(tmp_path / "vol.npy", np.where(IMAGE > 9, np.nan, 1.0))
    done = bench("verify", "my.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "NaN" in done.stderr


@pytest.mark.parametrize("shape", [(8, 300, 20), (8, 20, 300), (8, 2000, 20)])
def test_show_draws_the_middle_of_long_sections(tmp_path: Path, shape: tuple) -> None:
    image = RANDOM.integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "vol.npy", image)
    np.save(tmp_path / "lab.npy", (image > 200).astype(np.uint8))
    assert new(tmp_path, "vol.npy", "lab.npy").returncode == 0
    done = bench("show", "my.toml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    with Image.open(tmp_path / "my.png") as picture:
        assert max(picture.size) < 4000


def test_a_phantom_needs_no_fetching(tmp_path: Path) -> None:
    done = bench("fetch", "phantom-fibres", cwd=tmp_path)
    assert done.returncode == 0
    assert "made on the spot" in done.stdout


# --- new ------------------------------------------------------------------------------------------


def new(folder: Path, image: str, labels: str) -> subprocess.CompletedProcess[str]:
    return bench("new", "my.toml", "--image", image, "--labels", labels, cwd=folder)


def test_new_writes_a_card_that_works(tmp_path: Path) -> None:
    resolution = {"resolution": (1 / 0.004, 1 / 0.005), "metadata": {"spacing": 0.04, "unit": "um"}}
    tifffile.imwrite(tmp_path / "vol.tif", IMAGE, imagej=True, **resolution)
    tifffile.imwrite(tmp_path / "lab.tif", MASK, photometric="minisblack")
    done = new(tmp_path, "vol.tif", "lab.tif")
    assert done.returncode == 0, done.stderr
    card = load_card(str(tmp_path / "my.toml"))
    assert card.voxel_size_nm == pytest.approx((40, 5, 4))
    assert card.shape == IMAGE.shape
    assert card.task.classes[card.task.foreground] == "== 255"
    assert (card.split.train, card.split.test) == ((0, 7), (7, 10))
    for word in ("axes", "voxel size", "labels are 0 and 255", "first 7 sections", "licence"):
        assert word in done.stdout
    shown = bench("show", "my.toml", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert_is_picture(tmp_path / "my.png")


def test_new_reads_the_voxel_size_of_an_ome_tiff(tmp_path: Path) -> None:
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeZ": 0.05,
        "PhysicalSizeY": 4,
        "PhysicalSizeX": 5,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeXUnit": "nm",
    }
    tifffile.imwrite(tmp_path / "vol.ome.tif", IMAGE, metadata=metadata)
    np.save(tmp_path / "lab.npy", MASK)
    done = new(tmp_path, "vol.ome.tif", "lab.npy")
    assert done.returncode == 0, done.stderr
    assert load_card(str(tmp_path / "my.toml")).voxel_size_nm == pytest.approx((50, 4, 5))
    assert "the OME metadata" in done.stdout


def test_new_takes_series_and_arrays_inside_of_files(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for z, section in enumerate(IMAGE):
        Image.fromarray(section).save(tmp_path / "raw" / f"{z}.png")
    z, y, x = np.indices(IMAGE.shape)
    with h5py.File(tmp_path / "lab.h5", "w") as file:
        file["other"], file["labels/ids"] = MASK[:3], (1 + y // 8 * 5 + x // 8).astype(np.uint64)
    (tmp_path / "cards").mkdir()
    done = bench(
        "new",
        "cards/my.toml",
        "--image",
        "raw/*.png",
        "--labels",
        "lab.h5:labels/ids",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    card = load_card(str(tmp_path / "cards" / "my.toml"))
    assert card.task.foreground == "boundary"
    assert card.task.ids == "own"
    assert "ids of objects that touch" in done.stdout


def test_new_tells_sparse_ids_from_dense_ones(tmp_path: Path) -> None:
    np.save(tmp_path / "vol.npy", IMAGE)
    np.save(tmp_path / "lab.npy", np.where(IMAGE > 200, IMAGE, 0))
    done = new(tmp_path, "vol.npy", "lab.npy")
    assert done.returncode == 0, done.stderr
    task = load_card(str(tmp_path / "my.toml")).task
    assert (task.foreground, task.ids) == ("object", "own")


@pytest.mark.parametrize(
    ("image", "labels", "said"),
    [
        (IMAGE, MASK[:, :-1], "must be the same"),
        (IMAGE, np.zeros_like(IMAGE), "nothing to segment"),
        (IMAGE, IMAGE / 3, "exchanged"),
        (IMAGE, np.where(np.arange(10)[:, None, None] < 5, MASK, 0), "without foreground"),
        (IMAGE[0], MASK[0], "(Z, Y, X)"),
        (IMAGE[:, :0], MASK[:, :0], "is empty"),
        (IMAGE[:5], MASK[:5], "six are needed"),
        (np.where(IMAGE > 9, np.nan, 1.0), MASK, "NaN"),
        (MASK, IMAGE, "exchanged"),
    ],
    ids=[
        "shapes",
        "empty",
        "fractions",
        "empty split",
        "section",
        "no pixel",
        "few",
        "NaN",
        "exchanged",
    ],
)
def test_new_refuses_what_makes_no_data_set(
    tmp_path: Path, image: np.ndarray, labels: np.ndarray, said: str
) -> None:
    np.save(tmp_path / "vol.npy", image)
    np.save(tmp_path / "lab.npy", labels)
    done = new(tmp_path, "vol.npy", "lab.npy")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "my.toml").exists()


def test_a_plugin_reads_a_format_of_one_s_own(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", CARDS_PAGE.read_text(), re.DOTALL)[0]
    (tmp_path / "my_reader.py").write_text(code.replace("100, 512, 512", "10, 48, 40"))
    (tmp_path / "vol.raw").write_bytes(IMAGE.tobytes())
    (tmp_path / "lab.raw").write_bytes(MASK.tobytes())
    words = ("new", "my.toml", "--image", "vol.raw", "--labels", "lab.raw")
    assert "unknown kind" in bench(*words, cwd=tmp_path).stderr
    plugin = ("--plugin", "my_reader.py")
    done = bench(*plugin, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = bench(*plugin, "show", "my.toml", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert_is_picture(tmp_path / "my.png")


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("mine")
    done = new(tmp_path, "vol.npy", "lab.npy")
    assert done.returncode == 2
    assert "exists" in done.stderr
    assert (tmp_path / "my.toml").read_text() == "mine"
