from pathlib import Path

import pandas as pd
import pytest

from emsym.leaderboard.table import Score, aggregate, cells, summary
from emsym.protocol import load_protocol
from emsym.run.plan import jobs
from emsym.run.record import Record


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    """Four cells, two strategies × two seeds, whose scores are known."""
    scores = {
        ("rgb", 0): (0.80, -0.3),
        ("rgb", 1): (0.90, 0.1),
        ("uniform-green", 0): (0.85, 0.0),
        ("uniform-green", 1): (0.85, None),
    }
    return [
        job.record(
            status="done",
            scores={
                "dice@0.5": scores[job.cell.init, job.cell.seed][0],
                "saliency/true-foreground/model_asymmetry": scores[job.cell.init, job.cell.seed][1],
            },
        )
        for job in jobs(load_protocol(str(tiny)))
    ]


def test_mean_and_sd_are_over_seeds(records: list[Record]) -> None:
    rows = aggregate(cells(records), ["init"])
    assert rows.loc["rgb", ("dice@0.5", "mean")] == pytest.approx(0.85)
    assert rows.loc["rgb", ("dice@0.5", "sd")] == pytest.approx(0.1 / 2**0.5)
    assert rows.loc["uniform-green", ("dice@0.5", "sd")] == 0


def test_opposite_signs_of_seeds_do_not_cancel(records: list[Record]) -> None:
    rows = aggregate(cells(records), ["init"])
    assert rows.loc[
        "rgb", ("saliency/true-foreground/abs_model_asymmetry", "mean")
    ] == pytest.approx(0.2)


def test_a_missing_value_is_left_out_and_counted(records: list[Record]) -> None:
    found = aggregate(cells(records), ["init"]).loc["uniform-green"]
    assert found["saliency/true-foreground/abs_model_asymmetry", "n"] == 1
    assert found["saliency/true-foreground/abs_model_asymmetry", "mean"] == 0
    assert found["dice@0.5", "n"] == 2


def test_failed_cells_are_no_rows(records: list[Record]) -> None:
    failed = [record.model_copy(update={"status": "failed"}) for record in records[:1]]
    assert len(cells([*failed, *records[1:]])) == 3


def test_the_summary_is_over_what_all_strategies_share(records: list[Record]) -> None:
    """A strategy that was run on an easy data set alone gains nothing by it."""

    def moved(record: Record) -> Record:
        stamp = record.dataset.model_copy(update={"name": "easy"})
        scores = {**record.scores, "dice@0.5": 1.0}
        return record.model_copy(update={"dataset": stamp, "scores": scores})

    extra = [moved(record) for record in records if record.init == "rgb"]
    rows = summary(cells([*records, *extra]))
    assert rows.loc["rgb", ("dice@0.5", "mean")] == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("better", "expected"), [("high", [1, 1, 0]), ("low", [0, 0, 1]), (None, [0, 0, 0])]
)
def test_ties_as_printed_are_all_best(better: str, expected: list[int]) -> None:
    values = pd.Series([0.90004, 0.9, 0.1])
    score = Score("x", "X", better)  # type: ignore[arg-type]
    assert score.best(values).astype(int).tolist() == expected


def test_a_missing_mean_is_never_best() -> None:
    assert Score("x", "X", "low").best(pd.Series([0.5, float("nan")])).tolist() == [True, False]
