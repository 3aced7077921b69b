from made_experiments import SALIENCY, boards_of, made_cell

from emsym.leaderboard.experiments.families import families, last_variants, own_value
from emsym.protocol import load_protocol
from emsym.run.store.record import Record


def test_boards_of_variants_belong_together(records: list[Record]) -> None:
    variants = load_protocol("slices").variants()
    sections = {f"{SALIENCY}/model_asymmetry": [0.1, 0.2]}
    made = [
        made_cell(records[0], init, seed, sections, protocol=variant)
        for variant in variants[::-2]
        for init in ("rgb", "uniform-green")
        for seed in (0, 1)
    ]
    (family,) = families(boards_of([*records, *made]))
    assert (family.name, family.key, family.base) == ("slices", "slices", "5")
    assert list(family.boards) == ["5", "9"]
    assert family.strategies == ["rgb", "uniform-green"]
    boards = boards_of([*records, *made])
    assert [board for board in boards if board not in last_variants(boards)] == [
        board for board in boards if board.first["protocol"] == "slices-5"
    ]
    assert families(boards_of([*records, *made[:4]])) == []


def test_what_others_are_compared_with_is_the_protocols_own_value() -> None:
    assert own_value(load_protocol("weight-decay"), "recipe.weight_decay") == "0.01"
    assert own_value(load_protocol("slices"), "slices") == "3"
