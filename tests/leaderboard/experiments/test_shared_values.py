from made_boards import board_of
from made_experiments import EXACT, SALIENCY, made_cell, six_orders

from emsym.leaderboard.experiments.shared_values import (
    estimates_of_sections,
    measured_sections,
    methods,
    shared_cells,
    signed_estimates,
)
from emsym.run.store.record import Record

KEY = f"{SALIENCY}/model_asymmetry"


def test_values_keep_their_sign_and_are_of_shared_cells_alone(records: list[Record]) -> None:
    made = [made_cell(records[0], "rgb", seed, {KEY: [-0.3, -0.1]}) for seed in (0, 1)]
    made += [made_cell(records[0], "mirror", seed, {KEY: [0.3, 0.1]}) for seed in (0, 1)]
    elsewhere = made_cell(records[0], "rgb", 0, {KEY: [0.9, 0.9]})
    stamp = elsewhere.dataset.model_copy(update={"name": "elsewhere"})
    board = board_of([*made, elsewhere.model_copy(update={"dataset": stamp, "key": "x"})])
    assert shared_cells(board, KEY)["rgb"].tolist() == [-0.2, -0.2]
    assert measured_sections(board, KEY)["rgb"].tolist() == [-0.3, -0.1] * 2
    means = signed_estimates(board, KEY)
    assert dict(means.point.iloc[0]) == {"rgb": -0.2, "mirror": 0.2}
    assert means.sections, "sections are known"
    again = estimates_of_sections(measured_sections(board, KEY), 3)
    assert (again.point == means.point).all(axis=None)


def test_exact_values_are_a_method_where_cells_have_them(records: list[Record]) -> None:
    assert methods(board_of(records)) == {"saliency": SALIENCY}
    both = methods(board_of(six_orders(records[0])))
    assert both == {"saliency": SALIENCY, "exact values": EXACT}
