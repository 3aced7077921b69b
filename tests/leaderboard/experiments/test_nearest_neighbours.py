import numpy as np
import pandas as pd
from made_experiments import SALIENCY, boards_of, made_cell

from emsym.leaderboard.experiments.families import families
from emsym.leaderboard.experiments.nearest_neighbours import asymmetry, nearest_neighbours
from emsym.protocol import load_protocol
from emsym.run.store.record import Record

LEAN = {3: -0.2, 5: -0.2, 7: 0.3, 9: -0.2}
IMAGES = 0.05


def test_the_slice_count_at_which_the_sign_turns_is_found(records: list[Record]) -> None:
    noise, made = np.random.default_rng(0), []
    for variant in load_protocol("slices").variants():
        for seed in range(4):
            for init, lean in (("rgb", LEAN[variant.slices]), ("uniform-green", 0.0)):
                sides = {-1: 0.2 * (1 - lean - IMAGES), 1: 0.2 * (1 + lean + IMAGES)}
                sections = {
                    f"{SALIENCY}/slice_share[{at:+d}]": value + noise.normal(0, 0.002, 6)
                    for at, value in sides.items()
                }
                looks = {0: {f"{SALIENCY}/slice_share[{at:+d}]": v for at, v in sides.items()}}
                sections[f"{SALIENCY}/model_asymmetry"] = lean + noise.normal(0, 0.01, 6)
                made.append(
                    made_cell(records[0], init, seed, sections, protocol=variant, looks=looks)
                )
    (family,) = families(boards_of(made))
    report = nearest_neighbours(family, lambda board, init: 0.25 if init == "rgb" else None)
    assert report is not None
    columns = dict(report.tables[0])
    assert columns["slices"][::2] == ["3", "5", "7", "9"]
    assert [text[:4] for text in columns["before training"][::2]] == [
        "−0.1",
        "−0.1",
        "0.35",
        "−0.1",
    ]
    assert columns["the stem's norms"][:2] == ["0.25", "–"]
    gaps = [float(text.split(" ")[0].replace("−", "-")) for text in columns["rgb less this"][1::2]]
    assert np.allclose(gaps, list(LEAN.values()), atol=0.01)


def test_what_varies_else_has_no_such_report(records: list[Record]) -> None:
    variants = load_protocol("weight-decay").variants()
    sections = {f"{SALIENCY}/model_asymmetry": [0.1, 0.2]}
    made = [
        made_cell(records[0], "rgb", seed, sections, protocol=v)
        for v in variants
        for seed in (0, 1)
    ]
    (family,) = families(boards_of(made))
    assert nearest_neighbours(family, lambda board, init: None) is None


def test_asymmetry_is_positive_where_more_comes_after() -> None:
    assert asymmetry(pd.DataFrame([0.25]), pd.DataFrame([0.75])).iloc[0, 0] == 0.5
