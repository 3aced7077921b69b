from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.compare import compare
from emsym.errors import UserError


def test_two_strategies_are_compared_in_a_table_and_a_plot(store: Path) -> None:
    words = ["rgb", "uniform-green", "--output", str(store)]
    done = CliRunner().invoke(compare, words, catch_exceptions=False)
    assert "Paired: uniform-green − rgb." in done.output
    for title in ("model asym.", "Dice", "flip error"):
        assert title in done.output
    plot = store / "compare-rgb-uniform-green.png"
    assert f"Plot: {plot}" in done.output
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_strategy_that_nobody_ran_is_a_sentence(store: Path) -> None:
    with pytest.raises(UserError, match="mirror"):
        CliRunner().invoke(
            compare, ["rgb", "mirror", "--output", str(store)], catch_exceptions=False
        )
