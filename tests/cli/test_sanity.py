"""`sanity` as a user meets it."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from emsym.cli import main
from emsym.data.phantoms import generate_phantom
from emsym.models.architectures import ARCHITECTURES
from emsym.scores.attribution.methods import ATTRIBUTIONS

BENCH = Path(sys.executable).with_name("emsym-bench")
PLUGIN = """
import torch
from torch import nn
from emsym import UserError, register_architecture, register_attribution

@register_attribution("edges")
def edges(dense, x, mask):
    "How steep the image is, whatever the network."
    down, right = torch.gradient(x, dim=(2, 3))
    return (down.square() + right.square()).sqrt()

@register_attribution("one-sided")
def one_sided(dense, x, mask):
    "A ramp in the first slice, whatever the network and the image."
    ramp = torch.arange(x[0, 0].numel()).float().view(x.shape[2:])
    return ramp * torch.tensor([1.0, 0, 0])[:, None, None] * torch.ones_like(x)

@register_attribution("choosy")
def choosy(dense, x, mask):
    raise UserError("It explains no such network: take another.")

@register_attribution("blank")
def blank(dense, x, mask):
    return torch.zeros_like(x)

@register_architecture("only-a-function")
def only_a_function():
    return lambda x: x[:, :1] * 2
"""
BASE = ("net.ts", "image.tif", "--plugin", "mine.py")


@pytest.fixture(scope="module", autouse=True)
def _one_thread_and_no_trace() -> Iterator[None]:
    """Tiny networks are fastest on one thread; what the plug-in registers is taken back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for name in ("edges", "one-sided", "choosy", "blank"):
        ATTRIBUTIONS._entries.pop(name, None)
    ARCHITECTURES._entries.pop("only-a-function", None)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned a phantom's membranes, the phantom, and a plug-in."""
    folder = tmp_path_factory.mktemp("sanity")
    phantom = generate_phantom("neurites", (10, 64, 64), 0)
    labels = (phantom.semantic == 1).astype(np.uint8)
    grey = torch.from_numpy((phantom.image - phantom.image.mean()) / phantom.image.std()).float()
    x = torch.stack([grey[z - 1 : z + 2] for z in range(1, 9)])
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
    ).append(nn.Conv2d(8, 1, 1))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(80):
        optimiser.zero_grad()
        truth = torch.from_numpy(labels[1:9, None]).float()
        nn.functional.binary_cross_entropy_with_logits(network(x), truth).backward()
        optimiser.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.trace(network.eval(), torch.zeros(1, 3, 64, 64)).save(folder / "net.ts")
    tifffile.imwrite(folder / "image.tif", phantom.image)
    labels[1] = 0
    tifffile.imwrite(folder / "labels.tif", labels)
    (folder / "mine.py").write_text(PLUGIN)
    return folder


@pytest.fixture
def bench(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    """The command in this process, for each new one would import everything anew."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.chdir(files)
        monkeypatch.setattr(sys, "argv", ["emsym-bench", "sanity", *map(str, words)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as done:
            main()
        told = capsys.readouterr()
        return done.value.code or 0, told.out, told.err

    return run


def cells(out: str, name: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.startswith(f"{name} "))


@pytest.mark.slow
def test_all_methods_by_default_and_what_is_told_of_each(files: Path) -> None:
    words = ["sanity", *BASE, "--labels", "labels.tif", "--size", "32", "--sections", "3"]
    done = subprocess.run(
        [BENCH, *words],
        cwd=files,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = done.stdout
    whole = ["1.00", "(1.00–1.00)"]
    assert cells(out, "edges") == ["edges", *whole, *whole, "0", "fails"]
    assert cells(out, "one-sided")[-2:] == ["1.41", "fails"]  # √2: it stays in place
    assert cells(out, "blank") == ["blank", "–", "–", "–", "unknown"]
    assert float(cells(out, "smoothgrad")[-2]) > 0.01  # its noise stays where it is
    # one value for each of three slices: their ranks tell nothing
    assert cells(out, "slice-occlusion")[-1] == "unknown"
    assert "The map by slice-occlusion has 3 different values" in out
    assert "choosy is left out: It explains no such network" in out
    assert "deeplift is left out: deeplift is not defined on" in out  # TorchScript hides modules
    assert "The labelled foreground is empty in 1 of 3 sections" in out
    assert "mean of 2 sections" in out
    tables, _, rest = out.partition("Random from")
    assert max(map(len, tables.splitlines())) <= 100
    stage_by_stage = tables.partition("Stage by stage")[2]
    assert cells(stage_by_stage, "edges") == ["edges", "1.00", "1.00", "1.00"]
    stages = rest.partition("back to:\n")[2].split()[:6]
    assert stages == ["1", "4", "2", "2", "3", "0"]  # from the last module to the first
    assert "Randomised: " in done.stderr


def test_methods_are_chosen_and_told_once(bench) -> None:
    chosen = ("--attribution", "edges", "--attribution", "saliency", "--attribution", "edges")
    code, out, _ = bench(*BASE, *chosen, "--sections", 2, "--target", "all")
    assert code == 0
    assert out.count("edges") == 2  # in each of both tables
    assert cells(out, "saliency")[-1] == "passes"
    assert "smoothgrad" not in out
    assert "whole sections" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*BASE, "--attribution", "salience"), "did you mean 'saliency'"),
        ((*BASE, "--attribution", "slice-shapley"), "take slice-occlusion"),
        ((*BASE, "--attribution", "choosy"), "No method is left: It explains no such network"),
        (("none.ts", "image.tif"), "none.ts"),
        (("net.ts", "imag.tif"), "no file, folder or dataset imag.tif"),
        (("only-a-function", "image.tif", "--plugin", "mine.py"), "shows no weights"),
        ((*BASE, "--threshold", 0.9999999), "nothing to explain"),
        ((*BASE, "--threshold", 1), "between 0 and 1"),
    ],
)
def test_a_mistake_is_one_sentence(bench, words: tuple, told: str) -> None:
    code, out, err = bench(*words)
    assert code == 2
    assert told in err
    assert not out
