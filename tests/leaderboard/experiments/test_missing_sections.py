import numpy as np
from made_boards import board_of
from made_experiments import made_cell

from emsym.leaderboard.experiments.missing_sections import missing_sections
from emsym.run.store.record import Record

LOST = {"rgb": (0.10, 0.04), "rgb+flip-average": (0.03, 0.03), "uniform-green": (0.07, 0.07)}


def made(first: Record, primary: str | None) -> list[Record]:
    noise, records = np.random.default_rng(0), []
    for seed in range(4):
        dice = 0.8 + noise.normal(0, 0.02, 8)
        for init, (before, after) in LOST.items():
            moved = noise.normal(0, 0.004, (3, 8))
            sections = {
                "dice@0.5": dice,
                "dice_without_before": dice - before + moved[0],
                "dice_without_after": dice - after + moved[1],
                "missing_asymmetry": after - before + moved[2],
            }
            records.append(made_cell(first, init, seed, sections, primary=primary))
    return records


def test_losses_that_were_put_in_are_found(records: list[Record]) -> None:
    report = missing_sections(board_of(made(records[0], "missing_asymmetry")))
    assert report is not None
    columns = dict(report.tables[0])
    at = columns["strategy"].index("rgb")
    assert columns["lost without z−1"][at].startswith("0.1")
    assert columns["lost without z+1"][at].startswith("0.04")
    leaning, less = report.lines
    assert leaning == "By the networks themselves, with 95 %, is lost more without z−1: rgb."
    assert (
        less
        == "Of a missing neighbour, on average over both, lose less than rgb: rgb+flip-average."
    )


def test_a_protocol_that_asks_something_else_has_no_report(records: list[Record]) -> None:
    assert missing_sections(board_of(made(records[0], None))) is None
