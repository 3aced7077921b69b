import pandas as pd

from emsym.leaderboard.experiments.report import interval_texts


def test_rows_are_told_with_their_intervals_where_there_are_any() -> None:
    rows = [{"mean": 0.2, "low": 0.1, "high": 0.3, "p": 0.01}, {"mean": -0.2}]
    assert interval_texts(pd.DataFrame(rows), 1) == ["0.2 (0.1–0.3)", "−0.2"]
