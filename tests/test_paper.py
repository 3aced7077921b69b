"""The paper's experiment as one command each, from published layouts to figures, in small."""

import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from emsym.data.phantoms import generate_phantom
from emsym.paths import cards_folder, protocols_folder

BENCH = Path(sys.executable).with_name("emsym-bench")
SHAPE = (8, 96, 96)
DATASETS = ["snemi3d.toml", "lucchi.toml", "gf-pa66.toml:fibres", "gf-pa66.toml:pores"]


def write_card(folder: Path, name: str, shape: tuple[int, ...], test: tuple[int, int]) -> None:
    """The card that ships, for files of the same layout that are smaller."""
    text = (cards_folder() / f"{name}.toml").read_text()
    text = re.sub(r"^(checksum|size) = .*\n", "", text, flags=re.M)
    text = re.sub(r"\{ size = \S+ \}", "{}", text)
    text = re.sub(r"^shape = .*$", f"shape = {list(shape)}", text, flags=re.M)
    text = re.sub(r"^train = .*$", f"train = [0, {test[0]}]", text, flags=re.M)
    text = re.sub(r"^test = .*$", f"test = {list(test)}", text, flags=re.M)
    (folder / f"{name}.toml").write_text(text)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Files as SNEMI3D, Lucchi and GF-PA66 publish them, with phantoms in them, and their cards."""
    files = tmp_path / "files"
    for folder in ("snemi3d", "lucchi", "gf-pa66"):
        (files / folder).mkdir(parents=True)
    neurites = generate_phantom("neurites", SHAPE, 0)
    with zipfile.ZipFile(files / "snemi3d/snemi.zip", "w") as archive:
        for name, array in (
            ("image/train-input.tif", neurites.image),
            ("seg/train-labels.tif", neurites.instances.astype(np.uint16)),
        ):
            target = io.BytesIO()
            tifffile.imwrite(target, array, photometric="minisblack")
            archive.writestr(name, target.getvalue())
    for index, name in enumerate(("training", "testing")):
        made = generate_phantom("mitochondria", SHAPE, index)
        tifffile.imwrite(files / f"lucchi/{name}.tif", made.image)
        truth = (made.semantic > 0) * np.uint8(255)
        tifffile.imwrite(files / f"lucchi/{name}_groundtruth.tif", truth)
    fibres = generate_phantom("fibres", SHAPE, 0)
    with h5py.File(files / "gf-pa66/pa66_volumes.h5", "w") as file:
        file["pa66/data"] = fibres.image
        file["pa66/ground_truth"] = fibres.semantic.astype(np.uint8)
    for name, depth, test in (
        ("snemi3d", 8, (5, 8)),
        ("lucchi", 16, (8, 16)),
        ("gf-pa66", 8, (5, 8)),
    ):
        write_card(tmp_path, name, (depth, *SHAPE[1:]), test)
    return files


def small_protocol(folder: Path) -> Path:
    """The protocol that ships, with a tiny network, two strategies, one seed and two steps."""
    text = (protocols_folder() / "paper.toml").read_text()
    for pattern, value in (
        (r"^datasets = .*$", f"datasets = {DATASETS}"),
        (r"^architectures = \[[^]]*\]", 'architectures = ["linknet-tu-test_efficientnet"]'),
        (r"^inits = \[[^]]*\]", 'inits = ["rgb", "uniform-green"]'),
        (r"^seeds = .*$", "seeds = [0]"),
        (r"^weights = .*$", 'weights = "pretext"'),
        (r"^steps = .*$", "steps = 2"),
        (r"^batch_size = .*$", "batch_size = 2"),
        (r"^patch = .*$", "patch = 64"),
        (r"steps = 16, sections = 4", "steps = 2, sections = 1"),
        (r"steps = \[0, 250, 1000, 4000\], sections = 4", "steps = [0, 2], sections = 1"),
    ):
        text, count = re.subn(pattern, value, text, flags=re.M)
        assert count == 1, pattern
    path = folder / "small.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_from_published_files_to_the_papers_figures(published: Path, tmp_path: Path) -> None:
    def bench(*words: object) -> str:
        done = subprocess.run(
            [BENCH, *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "EMSYM_DATA_DIR": str(tmp_path / "kept")},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    for name in ("snemi3d", "lucchi", "gf-pa66"):
        bench("data", "fetch", f"{name}.toml", "--from", published / name)
    protocol = small_protocol(tmp_path)
    assert "8 to run" in bench("plan", "--protocol", protocol, "--output", "out")
    bench("run", "--all", "--offline", "--protocol", protocol, "--output", "out")
    told = bench("claims", "--output", "out")
    assert "UNDECIDED" in told, "two steps and one seed show nothing"
    bench("figures", "--output", "out", "--to", "figures")
    (folder,) = (tmp_path / "figures").iterdir()
    kinds = sorted(path.suffix for path in folder.iterdir())
    assert kinds.count(".svg") == kinds.count(".pdf") == 4
    rows = (folder / "table.csv").read_text().splitlines()[1:]
    assert {row.partition(",")[0] for row in rows} == {"rgb", "uniform-green"}
