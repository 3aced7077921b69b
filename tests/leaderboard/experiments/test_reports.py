from made_experiments import SALIENCY, boards_of, made_cell, six_orders

from emsym.leaderboard.experiments.reports import reports
from emsym.protocol import load_protocol
from emsym.run.store.record import Record


def test_what_is_there_decides_which_reports_there_are(records: list[Record]) -> None:
    sections = {f"{SALIENCY}/model_asymmetry": [0.1, 0.2]}
    varied = [
        made_cell(records[0], "rgb", seed, sections, protocol=variant)
        for variant in load_protocol("learning-rate").variants()
        for seed in (0, 1)
    ]
    assert reports(boards_of(records)) == []
    titles = [each.title for each in reports(boards_of([*varied, *six_orders(records[0])]))]
    assert titles == ["Colour or place", "learning-rate: the bias by learning rate"]
