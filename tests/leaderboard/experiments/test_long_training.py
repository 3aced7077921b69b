import numpy as np
import pytest
from made_boards import board_of
from made_experiments import SALIENCY, made_cell

from emsym.leaderboard.experiments.long_training import by_step, long_training
from emsym.run.store.record import Record

KEY = f"{SALIENCY}/model_asymmetry"
STEPS = (0, 100, 1000)


def made(first: Record, steps: tuple[int, ...] = STEPS) -> list[Record]:
    """`rgb` heals from −.4 to −.2, and `uniform-green` goes from 0 to .02 or −.02."""
    noise, records = np.random.default_rng(0), []
    for seed in range(4):
        paths = {
            "rgb": np.linspace(-0.4, -0.2, len(steps)),
            "uniform-green": np.linspace(0, 0.02, len(steps)) * (-1) ** seed,
        }
        for init, path in paths.items():
            values = path + noise.normal(0, 0.004, len(steps)) * (path != 0)
            sections = {KEY: values[-1] + np.zeros(4), f"{SALIENCY}/slice_share[+0]": np.ones(4)}
            looks = {step: {KEY: value} for step, value in zip(steps, values, strict=True)}
            records.append(made_cell(first, init, seed, sections, looks=looks))
    return records


def test_a_bias_that_heals_and_one_that_stays_small_are_told(records: list[Record]) -> None:
    report = long_training(board_of(made(records[0])))
    assert report is not None
    heals, near, less = report.lines
    assert "of rgb by saliency shrinks from step 0 to 1,000: by −0.199 (" in heals
    assert "its sign stays in 4 of 4 cells" in heals
    assert "of uniform-green by saliency is 0 at step 0, and 0.020 (" in near
    assert "After 1,000 steps the model asymmetry of uniform-green by saliency is 9" in less
    (columns,) = report.tables
    assert columns[0][1] == ["0", "100", "1,000"]


def test_values_of_a_step_keep_their_sign(records: list[Record]) -> None:
    board = board_of(made(records[0]))
    values = by_step(board, board.looks, KEY)
    assert list(values) == list(STEPS)
    assert values[0]["rgb"].tolist() == pytest.approx([-0.4] * 4, abs=0.02)
    assert set(np.sign(values[1000]["uniform-green"])) == {-1, 1}


def test_a_short_training_has_no_report(records: list[Record]) -> None:
    assert long_training(board_of(made(records[0], (0, 25, 100)))) is None
