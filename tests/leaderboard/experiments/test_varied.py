import numpy as np
import pytest
from made_experiments import SALIENCY, boards_of, made_cell

from emsym.leaderboard.experiments.families import Family, families
from emsym.leaderboard.experiments.varied import against_base, varied
from emsym.protocol import load_protocol
from emsym.run.store.record import Record

KEY = f"{SALIENCY}/model_asymmetry"
BIAS = {"0.01": 0.3, "1.0": 0.3, "10.0": 0.1}


@pytest.fixture
def family(records: list[Record]) -> Family:
    """`rgb` is biased by −.3, and at a weight decay of 10 by −.1; Dice does not change."""
    noise, made = np.random.default_rng(0), []
    for bias, variant in zip(
        BIAS.values(), load_protocol("weight-decay").variants()[1:], strict=True
    ):
        for seed in range(4):
            for init, size in (("rgb", -bias), ("uniform-green", 0.0)):
                sections = {KEY: size + noise.normal(0, 0.01, 6) * (size != 0)}
                sections["flip_error"] = 0.1 + noise.normal(0, 0.001, 6)
                made.append(made_cell(records[0], init, seed, sections, protocol=variant))
    (family,) = families(boards_of(made))
    return family


def test_the_value_that_heals_is_found_and_no_other(family: Family) -> None:
    rows = against_base(family, "rgb", KEY)
    assert list(rows.index) == ["1.0", "10.0"]
    assert rows["mean"].tolist() == pytest.approx([0, -0.2], abs=0.01)
    assert (rows["p_holm"] < 0.05).tolist() == [False, True]


def test_only_cells_that_all_values_have_are_compared(records: list[Record]) -> None:
    first, second = load_protocol("weight-decay").variants()[1:3]
    made = [
        made_cell(records[0], "rgb", seed, {KEY: [size, size + 0.02]}, protocol=variant)
        for variant, size in ((first, 0.3), (second, 0.1))
        for seed in (0, 1)
    ]
    elsewhere = records[0].dataset.model_copy(update={"name": "elsewhere"})
    moved = [r.model_copy(update={"dataset": elsewhere, "key": f"{r.key}-e"}) for r in made[2:]]
    (family,) = families(boards_of([*made, *moved]))
    assert against_base(family, "rgb", KEY)["mean"].tolist() == pytest.approx([-0.2], abs=0.01)
    (family,) = families(boards_of([*made[:2], *moved]))
    assert not len(against_base(family, "rgb", KEY))


def test_the_report_has_signs_and_says_what_is_shown(family: Family) -> None:
    report = varied(family)
    assert report.title == "weight-decay: the bias by weight decay"
    assert report.board is family.boards["10.0"]
    columns = dict(report.tables[0])
    assert columns["weight decay"][::2] == list(BIAS)
    assert columns["signed asymmetry by saliency"][0].startswith("−0.298 (")
    assert columns["model asym."][0].startswith("0.298 (")
    first = report.lines[0]
    assert first.startswith("The model asymmetry by saliency of rgb, less that at a weight decay")
    assert "at 10.0, p " in first
    assert "at 1.0" not in first
    assert "of uniform-green at 1.0, 10.0 is not shown to differ" in report.lines[2]
