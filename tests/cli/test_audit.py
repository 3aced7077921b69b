"""`audit` as a user meets it: real processes."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from emsym.cli import main
from emsym.data.phantoms import generate_phantom
from emsym.models.architectures import ARCHITECTURES

BENCH = Path(sys.executable).with_name("emsym-bench")
NAME = "unet-tu-test_resnet"
PLUGIN = """
import torch
from emsym import register_architecture

@register_architecture("only-before")
def only_before():
    return lambda x: x[:, :1] * 2
"""


def bench(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BENCH, "audit", *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    torch.manual_seed(0)
    torch.save(ARCHITECTURES.get(NAME)().state_dict(), folder / "net.pt")
    torch.save(torch.nn.Conv2d(3, 1, 1), folder / "whole.pt")
    phantom = generate_phantom("neurites", (8, 64, 64), 0)
    tifffile.imwrite(folder / "image.tif", phantom.image)
    tifffile.imwrite(folder / "labels.tif", (phantom.semantic == 1).astype(np.uint8))
    (folder / "mine.py").write_text(PLUGIN)
    return folder


def test_a_checkpoint_and_a_volume_give_a_report(files: Path, tmp_path: Path) -> None:
    words = (files / "net.pt", files / "image.tif", "--labels", files / "labels.tif")
    done = bench(*words, "--architecture", NAME, "--sections", 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "audit.json").read_text())
    assert (tmp_path / "audit.html").read_text().lower().startswith("<!doctype html")
    assert done.stdout.splitlines()[0] == found["verdict"]
    for word in ("share of z−1", "flip error", "Dice", "4 of 6 sections", "Report: audit.html"):
        assert word in done.stdout
    assert found["network"]["kind"] == "state dict"
    assert f"{found['flip_error']['value']:.3f}" in done.stdout
    assert "Sections: 4 of 4" in done.stderr
    again = bench(*words, "--architecture", NAME, cwd=tmp_path)
    assert again.returncode == 2
    assert "audit.html exists" in again.stderr


@pytest.mark.slow
def test_a_plug_ins_network(files: Path, tmp_path: Path) -> None:
    words = ("--plugin", files / "mine.py", "--attribution", "input-x-gradient", "-o", "mine.html")
    done = bench("only-before", files / "image.tif", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Only z−1 counts" in done.stdout
    found = json.loads((tmp_path / "mine.json").read_text())
    assert [row["attribution"] for row in found["symmetry"]] == ["input-x-gradient"]
    assert found["finding"] == "biased"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("net.pt", "image.tif"), "--architecture"),
        (("none.pt", "image.tif"), "none.pt cannot be opened"),
        (("whole.pt", "image.tif"), "--architecture"),
        (("net.pt", "none.tif", "--architecture", NAME), "no file, folder or dataset none.tif"),
        (("net.pt", "image.tif", "--architecture", NAME, "--slices", 5), "reads 3 slices, not 5"),
        (("net.pt", "image.tif", "--architecture", NAME, "--target", "some"), "--target"),
        (("net.pt", "image.tif", "-o", "out.pdf"), "end in .html"),
    ],
)
def test_a_mistake_is_one_sentence(
    files: Path,
    words: tuple,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, for each would import everything anew."""
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "argv", ["emsym-bench", "audit", *map(str, words)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(files.glob("*.html"))
