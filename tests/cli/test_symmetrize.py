"""`symmetrize` as a user meets it: real processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from emsym.cli.symmetrize import symmetrize

BENCH = Path(sys.executable).with_name("emsym-bench")


def bench(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BENCH, "symmetrize", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.save([net.state_dict()], tmp_path / "list.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "net.pt").read_bytes()[:300])
    return tmp_path


def test_a_checkpoint_is_repaired_and_the_change_is_told(folder: Path) -> None:
    done = bench("net.pt", "--init", "uniform-green", "-o", "out.pt", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    before = torch.load(folder / "net.pt", weights_only=True)["0.weight"]
    after = torch.load(folder / "out.pt", weights_only=True)["0.weight"]
    assert torch.equal(after, before[:, 1:2].expand_as(before))
    norms = " ".join(f"{value:.3g}" for value in before.square().sum((0, 2, 3)).sqrt())
    assert f"0.weight (4×3×3×3): {norms} → " in done.stdout
    assert "Written: out.pt" in done.stdout


def test_a_function_of_ones_own_tells_the_network(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1))\n"
    )
    words = [str(folder / "net.pt"), "--init", "mirror", "--dry-run"]
    done = CliRunner().invoke(symmetrize, [*words, "--model", f"{folder / 'mine.py'}:build"])
    assert done.exit_code == 0
    assert "Both sides of the centre are treated alike now." in done.stdout
    assert "by its shape alone" not in done.stdout
    assert "by its shape alone" in CliRunner().invoke(symmetrize, words).stdout


def test_a_dry_run_tells_the_same_and_writes_nothing(folder: Path) -> None:
    done = bench("net.pt", "--init", "mirror", "--dry-run", cwd=folder)
    assert done.returncode == 0
    assert "0.weight (4×3×3×3)" in done.stdout
    assert not (folder / "out.pt").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("net.pt", "--init", "uniform-green"), "-o FILE"),
        (("net.pt", "--init", "mirror", "-o", "out.pt", "--dry-run"), "-o FILE"),
        (("none.pt", "--init", "mirror", "-o", "out.pt"), "none.pt cannot be opened"),
        (("list.pt", "--init", "mirror", "-o", "out.pt"), "torch.save(model.state_dict(), path)"),
        (("cut.pt", "--init", "mirror", "-o", "out.pt"), "damaged"),
        (("net.pt", "--init", "miror", "-o", "out.pt"), "did you mean 'mirror'"),
        (("net.pt", "--init", "mirror", "-o", "out.pt", "--slices", 4), "odd number"),
        (("net.pt", "--init", "mirror", "-o", "out.pt", "--architecture", "unet"), "architecture"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, words: tuple, told: str) -> None:
    done = bench(*words, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "out.pt").exists()
