"""The sentences that say what a leaderboard shows."""

import re

from made_boards import board_of

from emsym.leaderboard.render.sentences import (
    bibtex,
    conclusions,
    facts,
    gaps,
    measured_on,
)
from emsym.run.store.record import Record

LEAD = "saliency/true-foreground/model_asymmetry"


def test_the_best_is_named_with_what_it_gains_and_costs(records: list[Record]) -> None:
    lines = conclusions(board_of(with_a_third_seed(records)), lambda name: f"<{name}>")
    assert lines[0] == (
        "Less biased than <rgb> by saliency and by flip error, at no loss of Dice beyond 0.01: "
        "<uniform-green>."
    )
    assert lines[1].startswith("Least biased: <uniform-green>, model asymmetry by saliency 0.000 (")
    assert lines[2].startswith("Against <rgb>, <uniform-green> has 100 (100–100) % less")
    assert "non-inferior, so no more than the margin of 0.01 is lost" in lines[3]


def test_more_of_a_bias_is_never_told_as_less_than_nothing(records: list[Record]) -> None:
    """Where the strategy that comes first by saliency answers a reversed stack worse."""
    made = [
        r.model_copy(
            update={"scores": {**r.scores, "flip_error": 0.02 if r.init == "rgb" else 0.05}}
        )
        for r in with_a_third_seed(records)
    ]
    text = " ".join(conclusions(board_of(made), str))
    assert "150 (150–150) % more flip error" in text


def test_two_seeds_advise_no_strategy(records: list[Record]) -> None:
    lines = conclusions(board_of(records), str)
    assert lines[0].startswith("Least biased: uniform-green")
    assert lines[-1].startswith("Two seeds a pair are too few to advise a strategy")


def with_a_third_seed(records: list[Record]) -> list[Record]:
    """Those of seed 0 once more, but for the sign of the asymmetry."""
    third = [
        r.model_copy(
            update={"seed": 2, "key": r.key[::-1], "scores": {**r.scores, LEAD: -r.scores[LEAD]}}
        )
        for r in records
        if r.seed == 0
    ]
    return [*records, *third]


def by_another_method(records: list[Record], biased: dict[str, float]) -> list[Record]:
    """The records with an asymmetry of exact Shapley values, about as large as given."""
    key = "slice-shapley/true-foreground/model_asymmetry"
    return [
        r.model_copy(update={"scores": {**r.scores, key: biased[r.init] * (1 + 0.001 * r.seed)}})
        for r in records
    ]


def test_methods_that_disagree_are_told(records: list[Record]) -> None:
    less = by_another_method(with_a_third_seed(records), {"rgb": 0.4, "uniform-green": 0.1})
    lines = conclusions(board_of(less), str)
    assert lines[0].startswith(
        "Less biased than rgb by saliency, by exact Shapley values and by flip error, at no loss"
    )
    assert re.search(
        r"less model asymmetry by saliency .*, 75 \(\d+–\d+\) % less model asymmetry by exact "
        r"Shapley values .* and \d+ .*% less flip error .*: how much depends on the method\.$",
        lines[2],
    )


def test_what_one_method_alone_shows_is_told_as_such(records: list[Record]) -> None:
    more = by_another_method(with_a_third_seed(records), {"rgb": 0.1, "uniform-green": 0.4})
    lines = conclusions(board_of(more), str)
    assert lines[0].endswith("beyond 0.01: uniform-green by saliency and by flip error alone.")


def test_what_another_run_may_not_find_again_is_not_the_first_sentence(
    records: list[Record],
) -> None:
    """Shown at p < .05, but not at .005."""
    noisy = [
        r.model_copy(update={"scores": {**r.scores, "flip_error": 0.01, LEAD: 0.3 + 0.06 * r.seed}})
        if r.init == "rgb"
        else r
        for r in with_a_third_seed(records)
    ]
    lines = conclusions(board_of(noisy), str)
    assert not lines[0].startswith("Less biased than")
    assert "Shown to be less biased than rgb, at p < .05" in " ".join(lines)
    assert "for all strategies: uniform-green." in " ".join(lines)


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


def test_data_sets_of_one_modality_stand_together(records: list[Record]) -> None:
    other = records[0].dataset.model_copy(update={"name": "tiny-b"})
    both = [r.model_copy(update={"dataset": other, "key": f"b-{r.key}"}) for r in records]
    said = measured_on(board_of([*records, *both]))
    assert said.startswith("Measured on tiny-a, tiny-b, synthetic. Weights: ")


def test_files_of_weights_have_their_digests_among_the_facts_alone(
    records: list[Record],
) -> None:
    stamp = records[0].weights.model_copy(
        update={"origin": "folder/", "identity": "sha256:" + 64 * "7"}
    )
    board = board_of([record.model_copy(update={"weights": stamp}) for record in records])
    assert "linknet-tu-test_efficientnet sha256:777" in dict(facts(board))["Weights"]
    assert "a local file for each encoder" in measured_on(board)
    assert "sha256" not in measured_on(board)


def test_a_hostile_citation_cannot_end_its_entry(records: list[Record]) -> None:
    stamp = records[0].dataset.model_copy(update={"citation": "x}}\\input{/etc/passwd}"})
    text = bibtex(board_of([r.model_copy(update={"dataset": stamp}) for r in records]))
    assert "note  = {x))input(/etc/passwd)}" in text
    assert text.count("{") == text.count("}")
