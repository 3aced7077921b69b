"""An audit as a microscopist starts it: files, the command, its defaults, sections of 512²."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter

from emsym.models.architectures import create_model

BENCH = Path(sys.executable).with_name("emsym-bench")
SECTIONS, SIZE = 60, 512


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey sections that resemble their neighbours, (60, 512, 512) uint8."""
    noise = np.random.default_rng(0).normal(size=(SECTIONS, SIZE, SIZE))
    smooth = gaussian_filter(noise, (1, 3, 3))
    path = tmp_path_factory.mktemp("volume") / "volume.tif"
    tifffile.imwrite(path, np.uint8(np.clip(128 + 40 * smooth / smooth.std(), 0, 255)))
    return path


@pytest.mark.parametrize("kind", ["lopsided", "mirrored"])
def test_audit_of_a_large_network(
    say: Callable[[str], None], tmp_path: Path, volume: Path, kind: str
) -> None:
    """`unet-resnet34` with defaults, from files to page: asked for are 60 s on two quiet cores."""
    model = create_model("unet-resnet34", "mirror" if kind == "mirrored" else "random")
    if kind == "lopsided":
        with torch.no_grad():
            next(model.parameters())[:, 2] *= 0.7
    torch.save(model.state_dict(), tmp_path / "network.pt")
    command = [BENCH, "audit", "network.pt", volume, "--architecture", "unet-resnet34"]
    start = time.perf_counter()
    subprocess.run([*command, "-o", "audit.html"], cwd=tmp_path, check=True, capture_output=True)
    wall = time.perf_counter() - start
    found = json.loads((tmp_path / "audit.json").read_text())
    say(
        f"audit, {kind} unet-resnet34, {SECTIONS} sections of {SIZE}²: {wall:.0f} s, "
        f"{found['finding']}; {found['looks']['sentence']}"
    )
