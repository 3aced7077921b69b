import json
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


def test_json_has_the_numbers_of_the_table(store: Path) -> None:
    words = ["rgb", "uniform-green", "--output", str(store), "--plot", str(store / "a.svg")]
    text = CliRunner().invoke(compare, words, catch_exceptions=False).output
    done = CliRunner().invoke(compare, [*words, "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    assert (told["one"], told["other"]) == ("rgb", "uniform-green")
    assert told["where"] in text
    assert Path(told["plot"]).is_file()
    dice = next(score for score in told["scores"] if score["key"] == "dice@0.5")
    assert dice["difference"] == pytest.approx(dice["other"] - dice["one"])
    assert dice["low"] <= dice["difference"] <= dice["high"]
    row = next(line for line in text.splitlines() if line.startswith("Dice"))
    assert f"{dice['one']:.3f}" in row
    assert [(pair["dataset"], pair["architecture"]) for pair in dice["pairs"]] == [
        ("tiny-a", "linknet-tu-test_efficientnet")
    ]


def test_a_protocol_is_chosen_by_its_name(store: Path) -> None:
    words = ["rgb", "uniform-green", "--output", str(store), "--protocol"]
    done = CliRunner().invoke(compare, [*words, "tiny"], catch_exceptions=False)
    assert done.output.startswith("tiny, version 1: ")
    with pytest.raises(UserError, match="of a protocol 'tinny': there are some of tiny"):
        CliRunner().invoke(compare, [*words, "tinny"], catch_exceptions=False)


def test_a_strategy_that_nobody_ran_is_a_sentence(store: Path) -> None:
    with pytest.raises(UserError, match="mirror"):
        CliRunner().invoke(
            compare, ["rgb", "mirror", "--output", str(store)], catch_exceptions=False
        )
