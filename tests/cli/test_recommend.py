"""`recommend` prints what the tests on stored cells come to."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.recommend import recommend
from emsym.leaderboard import recommendation
from emsym.leaderboard.recommendation import Recommendation


def test_it_says_which_strategy_to_take(store: Path) -> None:
    done = CliRunner().invoke(recommend, ["--output", str(store)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output == (
        "No strategy in any situation, as it takes 3 seeds of every pair to recommend one:\n"
        "- tiny, version 1, 4 cells\n"
    )


def test_a_board_with_a_strategy_is_told_by_situation(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [Recommendation("now", ["mirror"], "it has less"), Recommendation("then", [], "none is")]
    monkeypatch.setattr(recommendation, "recommend", lambda _: told)
    words = ["--output", str(store), "--protocol", "tiny"]
    done = CliRunner().invoke(recommend, words, catch_exceptions=False)
    assert done.output == (
        "tiny, version 1, 4 cells:\n- now: mirror (it has less).\n- then: no strategy (none is).\n"
    )
