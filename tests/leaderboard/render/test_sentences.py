"""The sentences that say what a leaderboard shows."""

from made_boards import board_of

from emsym.leaderboard.render.sentences import (
    bibtex,
    conclusions,
    facts,
    gaps,
    measured_on,
)
from emsym.run.store.record import Record


def test_the_best_is_named_with_what_it_gains_and_costs(records: list[Record]) -> None:
    lines = conclusions(board_of(records), lambda name: f"<{name}>")
    assert lines[0] == "Less biased than <rgb> at no loss of Dice beyond 0.01: <uniform-green>."
    assert lines[1].startswith("Least biased: <uniform-green>, model asym. 0.000 (")
    assert lines[2].startswith("Against <rgb>, <uniform-green> has 100 (100–100) % less")
    assert "non-inferior, so no more than the margin of 0.01 is lost" in lines[3]
    assert lines[-1].startswith("Two seeds a pair are few")


def test_a_strategy_that_costs_dice_is_not_advised(records: list[Record]) -> None:
    costly = [
        r.model_copy(update={"scores": {**r.scores, "dice@0.5": 0.5 - 0.01 * r.seed}})
        if r.init == "uniform-green"
        else r
        for r in records
    ]
    text = " ".join(conclusions(board_of(costly), str))
    assert "inferior, a loss of more than the margin of 0.01" in text
    assert "at no loss of Dice" not in text
    assert "non-inferior" not in text


def test_one_strategy_alone_is_told_without_a_winner(records: list[Record]) -> None:
    lines = conclusions(board_of(records[:1]), str)
    assert lines[0] == "1 strategy is ranked."
    assert lines[-1] == "One seed gives no interval, and tells nothing apart."


def test_what_is_missing_is_told(records: list[Record], easy: list[Record]) -> None:
    third = records[0].model_copy(update={"init": "mine", "key": "0" * 32})
    assert gaps(board_of([*records, third])) == ["mine: 1 of 2 cells, not ranked"]
    board = board_of([*records, *easy])
    assert gaps(board) == ["uniform-green: 2 of 4 cells, ranked over the others"]
    assert "the 1 of 2 pairs" in " ".join(conclusions(board, str))


def test_a_long_list_of_failures_is_cut(records: list[Record]) -> None:
    failed = [
        records[0].model_copy(
            update={"status": "failed", "error": "no", "scores": {}, "seed": seed, "key": f"{seed}"}
        )
        for seed in range(2, 25)
    ]
    told = gaps(board_of([*records, *failed]))
    assert told[-2:] == [
        "failed: tiny-a · linknet-tu-test_efficientnet · rgb · seed 21: no",
        "… and 3 more failed",
    ]


def test_facts_are_those_of_the_records(records: list[Record]) -> None:
    board = board_of(records)
    known = dict(facts(board))
    assert known["Stacks"] == "3 slices; filters copied, not rescaled"
    assert known["Masks"] == "of probability > 0.5: Dice, IoU and ARAND"
    assert known["Cells"] == "4, seeds 0, 1"
    assert known["Made on"] == "A & B"
    assert measured_on(board).startswith("Measured on tiny-a, synthetic. Weights: ")


def test_a_hostile_citation_cannot_end_its_entry(records: list[Record]) -> None:
    stamp = records[0].dataset.model_copy(update={"citation": "x}}\\input{/etc/passwd}"})
    text = bibtex(board_of([r.model_copy(update={"dataset": stamp}) for r in records]))
    assert "note  = {x))input(/etc/passwd)}" in text
    assert text.count("{") == text.count("}")
