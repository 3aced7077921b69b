"""The promise of the embedded protocol, from nothing, for one seed and one phantom."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

BENCH = Path(sys.executable).with_name("emsym-bench")
ASYMMETRY = "saliency/true-foreground/model_asymmetry"


@pytest.mark.slow
def test_uniform_and_mirrored_stems_are_a_third_as_biased_at_no_cost(tmp_path: Path) -> None:
    words = [BENCH, "run", "--seed", "0", "--dataset", "phantom-neurites-2"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = [json.loads(p.read_text()) for p in (tmp_path / "emsym-results/records").glob("*.json")]
    assert len(made) == 10
    cells = pd.DataFrame([{"init": r["init"], **r["scores"]} for r in made])
    cells[ASYMMETRY] = cells[ASYMMETRY].abs()
    means = cells.groupby("init")[["dice@0.5", "flip_error", ASYMMETRY]].mean()
    print(means.round(4).to_string())
    for init in ("uniform-green", "mirror"):
        assert means.loc[init, "flip_error"] < means.loc["rgb", "flip_error"] / 3
        assert means.loc[init, ASYMMETRY] < means.loc["rgb", ASYMMETRY] / 3
        assert means.loc[init, "dice@0.5"] == pytest.approx(means.loc["rgb", "dice@0.5"], abs=0.02)
