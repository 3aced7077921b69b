"""Reading a split out of an HDF5 file that is stored like GF-PA66, slices along the last axis.

Asked: at most 1.5 times the memory that the split's image and labels hold in 8 bits, and at most
1.3 times the time of h5py that reads the same bytes. h5py leaves them in the order of the file and
looks at no value; what it takes until they are sections, as everybody needs them, stands beside.
The file lies in the system's cache: from a disk, both wait for the disk. Rounds alternate.
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

STORED = (1300, 1040, 770)
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


@pytest.fixture(scope="module", params=[None, (65, 65, 70)], ids=["contiguous", "chunked"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A folder with a file of 2 GB, written in blocks and deleted afterwards."""
    made = tmp_path_factory.mktemp("big")
    rng = np.random.default_rng(0)
    with h5py.File(made / "big.h5", "w") as file:
        for key, top in zip(KEYS, (256, 3), strict=True):
            data = file.create_dataset(key, STORED, np.uint8, chunks=request.param)
            for x in range(0, STORED[0], 65):
                data[x : x + 65] = rng.integers(0, top, (65, *STORED[1:]), np.uint8)
    yield made
    (made / "big.h5").unlink()


def raw(path: Path) -> list[np.ndarray]:
    with h5py.File(path) as file:
        return [file[key][:, :, FIRST:LAST] for key in KEYS]


def plain(path: Path, order: list[int]) -> list[np.ndarray]:
    image, labels = (np.ascontiguousarray(part.transpose(order)) for part in raw(path))
    return [image, labels == 1]


@pytest.mark.parametrize("axes", ["xyz", "yxz"])
def test_reading_a_split(say: Callable[[str], None], folder: Path, axes: str) -> None:
    path = folder / "big.toml"
    path.write_text(CARD.format(first=FIRST, last=LAST, image=KEYS[0], labels=KEYS[1], axes=axes))
    volume = open_volume(load_card(str(path)))
    order = [axes.index(axis) for axis in "zyx"]
    ways = {
        "h5py, the same bytes": lambda: raw(folder / "big.h5"),
        "h5py, turned into sections": lambda: plain(folder / "big.h5", order),
        "emsym": lambda: volume.read(FIRST, LAST),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            if number > 1 and name == "h5py, turned into sections":
                continue  # slow; once will do
            start = time.perf_counter()
            way()
            if number:  # the first fills the system's cache
                seconds[name].append(time.perf_counter() - start)
    command = [sys.executable, "-c", MEMORY, str(path), str(FIRST), str(LAST)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    held = 2 * (LAST - FIRST) * STORED[0] * STORED[1]
    ratios = [
        ours / theirs
        for ours, theirs in zip(seconds["emsym"], seconds["h5py, the same bytes"], strict=True)
    ]
    lines = [f"{LAST - FIRST} sections of {volume.shape}, stored as {axes}, {folder_kind(folder)}:"]
    lines += [f"  {statistics.median(each):5.2f} s  {name}" for name, each in seconds.items()]
    lines.append(
        f"  {statistics.median(ratios):.2f} times h5py ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"peak memory {int(done.stdout) / held:.2f} times the split"
    )
    say("\n".join(lines))


def folder_kind(folder: Path) -> str:
    with h5py.File(folder / "big.h5") as file:
        chunks = file[KEYS[0]].chunks
    return f"in chunks of {chunks}" if chunks else "in one piece"
