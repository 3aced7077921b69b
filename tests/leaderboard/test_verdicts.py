"""Claims are judged by intervals on made-up cells whose truth is known."""

import re
from pathlib import Path

import pytest
from made_boards import board_of

from emsym.errors import UserError
from emsym.leaderboard.board import Board
from emsym.leaderboard.verdicts import Claim, Judged, claim_columns, judge_claims, load_claims
from emsym.run.store.record import Record

LEAD = "saliency/true-foreground/model_asymmetry"
CLAIM = """
[[claims]]
id = "a"
sentence = "It is so."
source = "me"
test = "biased"
strategy = "rgb"
"""
EXACT = "slice-shapley/true-foreground/model_asymmetry"


def board(records: list[Record], **changes: dict[str, float]) -> Board:
    """Three seeds a strategy with these scores, ± 1 % between seeds; `a_b` stands for ``a-b``."""
    third = [r.model_copy(update={"seed": 2, "key": r.key[::-1]}) for r in records if r.seed == 0]
    changed = []
    for record in [*records, *third]:
        own = changes.get(record.init.replace("-", "_"), {})
        moved = {name: value * (1 + 0.01 * record.seed) for name, value in own.items()}
        changed.append(record.model_copy(update={"scores": record.scores | moved}))
    return board_of(changed)


def verdict(board: Board, test: str, strategy: str = "uniform-green", **more: str) -> Judged:
    claim = Claim(id="x", sentence="It is so.", source="me", test=test, strategy=strategy, **more)
    (judged,) = judge_claims(board, (claim,))
    return judged


@pytest.mark.parametrize(
    ("size", "biased", "symmetric"),
    [(0.3, "held", "failed"), (0.01, "failed", "held"), (0.0478, "undecided", "undecided")],
)
def test_bias_is_held_against_sides_that_differ_by_a_tenth(
    records: list[Record], size: float, biased: str, symmetric: str
) -> None:
    made = board(records, rgb={LEAD: size})
    assert verdict(made, "biased", "rgb").verdict == biased
    assert verdict(made, "symmetric", "rgb").verdict == symmetric


@pytest.mark.parametrize(
    ("dice", "no_loss", "more"),
    [(0.9, "held", "undecided"), (0.95, "held", "held"), (0.8, "failed", "failed")],
)
def test_dice_is_held_against_the_margin(
    records: list[Record], dice: float, no_loss: str, more: str
) -> None:
    made = board(records, rgb={"dice@0.5": 0.9}, uniform_green={"dice@0.5": dice})
    assert verdict(made, "no-loss").verdict == no_loss
    assert verdict(made, "more-dice").verdict == more


def test_a_claim_of_each_data_set_fails_where_one_does(records: list[Record]) -> None:
    other = records[0].dataset.model_copy(update={"name": "other"})
    biased = [
        r.model_copy(
            update={
                "dataset": other,
                "key": r.key[::-1],
                "scores": r.scores | {LEAD: 0.4 + 0.001 * r.seed},
            }
        )
        for r in records
    ]
    judged = verdict(board([*records, *biased]), "symmetric", each="dataset")
    assert judged.verdict == "failed"
    assert {k: f.verdict for k, f in judged.findings.items()} == {
        "saliency, tiny-a": "held",
        "saliency, other": "failed",
    }


def test_cells_without_an_asymmetry_try_nothing_of_it(records: list[Record]) -> None:
    bare = [
        r.model_copy(update={"scores": {k: v for k, v in r.scores.items() if "asymmetry" not in k}})
        for r in records
    ]
    for test in ("biased", "symmetric", "answers"):
        assert verdict(board_of(bare), test, "uniform-green").verdict == "not tried"


def test_one_architecture_is_not_consistent_over_several(records: list[Record]) -> None:
    judged = verdict(board(records), "biased", "rgb", each="architecture")
    assert judged.verdict == "not tried"
    assert judged.findings[""].text.startswith("there is one architecture alone, linknet")


def test_an_answer_follows_where_exact_values_and_the_flip_error_say_so(
    records: list[Record],
) -> None:
    even = {LEAD: 0.001, EXACT: 0.001, "flip_error": 0.01}
    free = {LEAD: 0.3, EXACT: 0.3, "flip_error": 0.1}
    assert verdict(board(records, rgb=free, uniform_green=even), "answers").verdict == "held"
    moved = board(records, rgb=free, uniform_green=even | {"flip_error": 0.09})
    assert verdict(moved, "answers").verdict == "failed"
    leaning = board(records, rgb=free, uniform_green=even | {EXACT: 0.2})
    assert verdict(leaning, "answers").verdict == "failed"
    biased = verdict(board(records, rgb=free, uniform_green=even | {LEAD: 0.2}), "answers")
    assert biased.verdict == "undecided", "it is of what is symmetric by saliency"


def test_seeds_that_would_decide_grow_with_the_square_of_the_interval(
    records: list[Record],
) -> None:
    made = board(records, rgb={LEAD: 0.0478})
    judged = verdict(made, "biased", "rgb")
    row = made.lead.summary.loc["rgb"]
    wide, away = row["high"] - row["mean"], abs(row["mean"] - 0.1 / 2.1)
    assert judged.seeds == pytest.approx(3 * (wide / away) ** 2, abs=1)
    assert "seeds a pair would decide it" in judged.power


def test_one_seed_decides_nothing_and_a_strategy_that_is_not_there_was_not_tried(
    records: list[Record],
) -> None:
    alone = board_of([r for r in records if r.seed == 0])
    biased = verdict(alone, "biased", "rgb")
    assert biased.verdict == "undecided"
    assert biased.power == "a single seed a pair decides nothing"
    judged = verdict(alone, "more-dice", "rgb+a3d")
    assert (judged.verdict, judged.cells) == ("not tried", 0)
    assert judged.findings[""].text == "no cells of rgb+a3d"


def test_those_that_ship_stand_on_the_board_with_their_numbers(records: list[Record]) -> None:
    assert [claim.id for claim in load_claims()][:8] == list("abcdefgh")
    heads = dict(claim_columns(board(records)))
    assert heads["claim"][0].startswith("(a) RGB-pretrained networks")
    assert heads["verdict"][0] == "held"
    assert re.match(r"saliency 0\.50\d \(", heads["numbers"][0])
    assert claim_columns(board_of([r for r in records if r.init == "uniform-green"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLAIM.replace("biased", "more-dice"), "compares 'rgb' with itself"),
        ("claims = []", "claims"),
        (
            '[[claims]]\nid = "a"\nsentence = "s"\nsource = "x"\ntest = "magic"\nstrategy = "rgb"',
            "te",
        ),
        (2 * CLAIM, "two claims have the id 'a'"),
    ],
)
def test_a_file_that_is_wrong_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        load_claims(file)
