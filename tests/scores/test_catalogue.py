"""The catalogue of scores: each once, found by key, and open to plug-ins."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emsym.errors import UserError
from emsym.plugins import load_plugin
from emsym.protocol import Protocol
from emsym.scores.catalogue import SCORES, list_scores, optional_score, register_score, score_of
from emsym.scores.expected_scores import counts, image_scores, look_scores, pooled_alone


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SCORES, "_entries", dict(SCORES._entries))


def test_every_score_of_a_cell_stands_in_the_catalogue(protocol: Protocol) -> None:
    keys = image_scores(protocol) | counts(protocol) | look_scores(protocol) | set(pooled_alone())
    titles = {key: score_of(key).title for key in keys}
    assert len(keys) > 40
    unknown = [key for key in keys if "a plug-in's score" in score_of(key).meaning]
    assert not unknown
    assert titles["dice@0.85"] == "Dice"
    assert titles["saliency/true-foreground/slice-removal"] == "slice-removal"
    assert titles["saliency/true-foreground/faithfulness-estimate"] == "faithfulness"


@pytest.mark.parametrize(
    ("key", "bounds", "better", "pooling"),
    [
        ("iou@0.5", (0, 1), "high", "counts"),
        ("arand_3d", (0, 1), "low", "volume"),
        ("saliency/all/model_asymmetry", (-1, 1), "low", "mean"),
        ("saliency/all/slice_share[-1]", (0, 1), None, "mean"),
        ("slice-shapley/all/slice_shapley[+0]", (-math.inf, math.inf), None, "mean"),
        ("tp@0.5", (0, math.inf), None, "none"),
        ("saliency/all/pixel-flipping", (-math.inf, math.inf), "low", "mean"),
    ],
)
def test_facts_are_found_by_key(
    key: str, bounds: tuple[float, float], better: str | None, pooling: str
) -> None:
    score = score_of(key)
    assert (score.bounds, score.better, score.pooling) == (bounds, better, pooling)


def test_what_nobody_registered_goes_by_its_name() -> None:
    for key in ("plugin/theirs", "saliency/all/theirs", "saliency/all/irof"):
        score = score_of(key)
        assert score.title == key.rpartition("/")[2]
        assert (score.better, score.baseline) == (None, None)
        assert score.bounds == (-math.inf, math.inf)


def test_a_size_is_compared_within_the_bounds_of_sizes() -> None:
    assert score_of("saliency/all/model_asymmetry").compared_bounds == (0, 1)
    assert score_of("saliency/all/neighbour_asymmetry").compared_bounds == (-1, 1)


def test_a_plugin_adds_a_score(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from emsym import register_score\n\n"
        '@register_score("mean-p", title="mean p", better="high", bounds=(0, 1))\n'
        'def mean_p(sections):\n    """Mean probability."""\n    return sections.probability\n'
    )
    assert load_plugin(path)
    assert "mean-p" in list_scores()
    score = score_of("plugin/mean-p")
    assert (score.title, score.meaning, score.baseline) == ("mean p", "Mean probability.", "rgb")
    assert optional_score("mean-p") is score


def test_facts_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="'high', 'low' or None"):
        register_score("a", better="up")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="not in order"):
        register_score("a", bounds=(1, 0))
    with pytest.raises(UserError, match="by its name"):
        register_score(np.mean)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="registered twice"):
        register_score("dice")(lambda sections: sections.x)


def test_a_protocol_lists_scores_of_plugins_alone() -> None:
    with pytest.raises(UserError, match="Every cell has the score 'dice'"):
        optional_score("dice")
    with pytest.raises(UserError, match="There is no score 'nope'"):
        optional_score("nope")


def test_the_catalogue_is_light() -> None:
    code = "import sys, emsym.scores.catalogue as c; c.score_of('dice@0.5'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pandas", "pydantic"} & set(done.stdout.split())
