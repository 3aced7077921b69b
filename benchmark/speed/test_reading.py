"""Reading 128 sections out of an HDF5 file of 2 GB that is shaped like GF-PA66.

Asked: at most 1.5 times the memory that the split's image and labels hold in 8 bits, and at most
1.3 times the time of h5py that reads the same bytes. h5py looks at no value; and where the slices
are not along the first axis it leaves them so, which to turn into sections takes what stands
beside. The file lies in the system's cache: from a disk, both wait for the disk. Rounds alternate.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from emsym.data.cards import load_card
from emsym.data.volume import open_volume

PUBLISHED = {
    "chunks": (1, 403, 1300),
    "shuffle": True,
    "compression": "gzip",
    "compression_opts": 1,
}
"""How GF-PA66 is stored, but for the level, 9, which takes long to write and no less to read."""
LAYOUTS = {
    "as published": ("zyx", PUBLISHED),
    "in one piece": ("zyx", {}),
    "turned, in one piece": ("xyz", {}),
    "turned, in chunks": ("xyz", {"chunks": (65, 65, 70)}),
}
SIZE = {"z": 770, "y": 1040, "x": 1300}
FIRST, LAST = 300, 428
ROUNDS = 7
KEYS = ("pa66/data", "pa66/ground_truth")

CARD = """
name = "big"
title = "As large as a part of GF-PA66"
modality = "none"
voxel_size_nm = [1300, 1300, 1300]
licence = "CC0-1.0"
split = {{ train = [{first}, {last}], test = [0, 9] }}

[sources.here]
image = {{ path = "big.h5", key = "{image}", axes = "{axes}" }}
labels.phases = {{ path = "big.h5", key = "{labels}", axes = "{axes}" }}

[tasks.fibres]
labels = "phases"
classes = {{ matrix = "== 0", fibre = "== 1", pore = "== 2" }}
foreground = "fibre"
instances = "foreground"
"""

MEMORY = """
import sys
from emsym.data.cards import load_card
from emsym.data.volume import open_volume

def peak():
    # getrusage would count what the parent process had, too
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

volume = open_volume(load_card(sys.argv[1]))
volume.read(0, 1)  # what is loaded at the first call
before = peak()
part = volume.read(int(sys.argv[2]), int(sys.argv[3]))
print(peak() - before)
"""


def write(path: Path, axes: str, how: dict) -> None:
    """Two data sets of 1 GB, in blocks of some sections."""
    rng = np.random.default_rng(0)
    shape = tuple(SIZE[axis] for axis in axes)
    step = 70
    with h5py.File(path, "w") as file:
        for key, top in zip(KEYS, (256, 3), strict=True):
            data = file.create_dataset(key, shape, np.uint8, **how)
            for z in range(0, SIZE["z"], step):
                block = rng.integers(0, top, (step, SIZE["y"] // 8, SIZE["x"]), np.uint8)
                block = block.repeat(8, axis=1)
                data[tuple(slice(z, z + step) if axis == "z" else slice(None) for axis in axes)] = (
                    block.transpose(["zyx".index(axis) for axis in axes])
                )


def raw(path: Path, axes: str) -> list[np.ndarray]:
    part = tuple(slice(FIRST, LAST) if axis == "z" else slice(None) for axis in axes)
    with h5py.File(path) as file:
        return [file[key][part] for key in KEYS]


def turned(path: Path, axes: str) -> list[np.ndarray]:
    order = [axes.index(axis) for axis in "zyx"]
    image, labels = (np.ascontiguousarray(part.transpose(order)) for part in raw(path, axes))
    return [image, labels == 1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_a_split(say: Callable[[str], None], tmp_path: Path, layout: str) -> None:
    axes, how = LAYOUTS[layout]
    data, card = tmp_path / "big.h5", tmp_path / "big.toml"
    write(data, axes, how)
    card.write_text(CARD.format(first=FIRST, last=LAST, image=KEYS[0], labels=KEYS[1], axes=axes))
    volume = open_volume(load_card(str(card)))
    ways = {
        "h5py, the same bytes": lambda: raw(data, axes),
        "emsym": lambda: volume.read(FIRST, LAST),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:  # the first fills the system's cache
                seconds[name].append(time.perf_counter() - start)
    start = time.perf_counter()
    turned(data, axes)
    whole = time.perf_counter() - start
    command = [sys.executable, "-c", MEMORY, str(card), str(FIRST), str(LAST)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    data.unlink()
    held = 2 * (LAST - FIRST) * SIZE["y"] * SIZE["x"]
    ratios = [ours / theirs for theirs, ours in zip(*seconds.values(), strict=True)]
    lines = [f"{LAST - FIRST} sections of {volume.shape}, {layout} ({axes}):"]
    lines += [f"  {statistics.median(each):5.2f} s  {name}" for name, each in seconds.items()]
    lines.append(f"  {whole:5.2f} s  h5py, and NumPy to turn them into sections and a mask")
    lines.append(
        f"  {statistics.median(ratios):.2f} times h5py ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"peak memory {int(done.stdout) / held:.2f} times the split"
    )
    say("\n".join(lines))
