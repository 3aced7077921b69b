"""Real sections, real ImageNet weights: the paper's effect, and its price."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).with_name("emsym-bench")
PROTOCOL = Path(__file__).with_name("real.toml")


def run(folder: Path, *words: object) -> dict[str, dict[str, float]]:
    """Run cells of the real protocol; their scores by strategy."""
    command = [BENCH, "run", "--protocol", PROTOCOL, "--output", folder, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = [json.loads(path.read_text()) for path in (folder / "records").glob("*.json")]
    return {record["init"]: record["scores"] for record in made}


@pytest.mark.real
@pytest.mark.slow
def test_isbi2012_shows_the_effect_at_no_cost(shared: Path, tmp_path: Path) -> None:
    found = run(
        tmp_path, "--dataset", "isbi2012", "--seed", 0, "--init", "rgb", "--init", "uniform-green"
    )
    rgb, green = found["rgb"], found["uniform-green"]
    assert rgb["true-foreground/neighbour_asymmetry"] < -0.15
    assert abs(green["true-foreground/neighbour_asymmetry"]) < 0.03
    assert green["dice@0.5"] == pytest.approx(rgb["dice@0.5"], abs=0.02)
    assert rgb["dice@0.5"] > 0.7


@pytest.mark.real
@pytest.mark.parametrize("name", ["isbi2012", "vnc-mitochondria"])
def test_the_cards_fit_their_volumes(shared: Path, name: str) -> None:
    from emsym.data.cards import load_card
    from emsym.data.volume import open_volume

    card = load_card(f"{name}.toml", PROTOCOL.parent)
    volume = open_volume(card, slices=3, patch=128)
    share = {"isbi2012": 0.220, "vnc-mitochondria": 0.054}[name]
    assert volume.foreground.mean() == pytest.approx(share, abs=5e-4)
    assert (
        volume.image.shape
        == {
            "isbi2012": (30, 512, 512),
            "vnc-mitochondria": (20, 1024, 1024),
        }[name]
    )
