"""Membranes and instances of a volume of SNEMI3D's size, beside scikit-image's plain way.

Asked: under 20 s and 1.5 GB on one core. Each way runs in a process of its own, whose peak memory
is that of everything in it: Python, libraries, the ids and the result.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

SHAPE = (100, 1024, 1024)

CHILD = """
import sys, time
import numpy as np
from skimage.measure import label
from skimage.segmentation import find_boundaries
from emsym.data.labels import boundaries, instances_2d

ids = np.load(sys.argv[1])

def ours():
    return boundaries(ids), instances_2d(ids)

def sections():
    return (
        np.stack([find_boundaries(section, connectivity=1) for section in ids]),
        np.stack([label(section, connectivity=1) for section in ids]),
    )

def whole():
    return find_boundaries(ids, connectivity=1), label(ids, connectivity=1)

label(ids[0])  # what is loaded at the first call
start = time.perf_counter()
result = locals()[sys.argv[2]]()
seconds = time.perf_counter() - start
with open("/proc/self/status") as status:  # getrusage would count the parent process, too
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
assert all(array.shape == ids.shape for array in result)
print(seconds, peak / 1e9)
"""

WAYS = {
    "emsym": "ours",
    "scikit-image, section by section": "sections",
    "scikit-image, the whole volume (other borders: across sections too)": "whole",
}


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    """400 cells that move by a pixel from section to section, uint16."""
    rng = np.random.default_rng(0)
    places = np.moveaxis(np.indices(SHAPE[1:]), 0, -1)
    section = KDTree(rng.uniform(0, SHAPE[1], (400, 2))).query(places)[1].astype(np.uint16) + 1
    return np.stack([np.roll(section, (z, -z // 2), (0, 1)) for z in range(SHAPE[0])])


@pytest.mark.parametrize("dtype", ["uint16", "uint64"])
def test_membranes_and_instances(
    say: Callable[[str], None], tmp_path: Path, cells: np.ndarray, dtype: str
) -> None:
    np.save(tmp_path / "ids.npy", cells.astype(dtype))
    lines = [f"membranes and 2D instances of {' × '.join(map(str, SHAPE))} ids, {dtype}:"]
    for name, way in WAYS.items():
        command = [sys.executable, "-c", CHILD, str(tmp_path / "ids.npy"), way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak = map(float, done.stdout.split())
        lines.append(f"  {seconds:5.1f} s, peak {peak:.2f} GB  {name}")
    say("\n".join(lines))
