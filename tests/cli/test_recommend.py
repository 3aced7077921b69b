"""`recommend` prints what the tests on stored cells come to."""

from pathlib import Path

from click.testing import CliRunner

from emsym.cli.recommend import recommend


def test_it_says_which_strategy_to_take(store: Path) -> None:
    done = CliRunner().invoke(recommend, ["--output", str(store)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith("tiny, version 1, 4 cells:\n- a new network")
    assert "no strategy (it takes 3 seeds of every pair to recommend one)." in done.output
