from pathlib import Path

import pytest
from made_boards import board_of
from safetensors.torch import load_file

from emsym.leaderboard.experiments import stem_prediction as module
from emsym.models.architectures import ARCHITECTURES
from emsym.models.stem.find import find_stem
from emsym.run.store.record import Record


def test_weights_that_may_not_be_here_predict_nothing(records: list[Record]) -> None:
    assert module.stem_prediction(board_of(records), "rgb") is None


def test_a_strategy_that_is_not_here_predicts_nothing(records: list[Record]) -> None:
    weights = records[0].weights.model_copy(update={"origin": "pretext", "identity": "pretext"})
    made = [r.model_copy(update={"weights": weights, "init": "theirs"}) for r in records[:1]]
    assert module.stem_prediction(board_of(made), "theirs") is None


def test_the_filled_stem_is_measured(
    encoder_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "linknet-tu-test_efficientnet"
    monkeypatch.setattr(module, "EMBEDDED", str(encoder_weights))
    module._stem_asymmetry.cache_clear()
    path = find_stem(ARCHITECTURES.get(name)(), 3).reads[0].path.removeprefix("encoder.")
    red, green, blue = (
        load_file(encoder_weights)[path].transpose(0, 1).flatten(1).norm(dim=1).tolist()
    )
    expected = {3: (red, blue), 5: (green, red), 7: (blue, green)}
    for slices, (before, after) in expected.items():
        value = module._stem_asymmetry(name, "rgb", slices)
        assert value == pytest.approx((after - before) / (after + before), abs=1e-5)
    assert module._stem_asymmetry(name, "uniform-green", 5) == 0
    module._stem_asymmetry.cache_clear()
