"""A strategy is recommended where tests show it by every measure, and none where they do not."""

from made_boards import board_of

from emsym.leaderboard.recommendation import Recommendation, recommend
from emsym.run.store.record import Record

LEAD = "saliency/true-foreground/model_asymmetry"
TO_TRAIN, TWO_PASSES, TRAINED, KEPT = (
    "a new network, which must be as fast as it is",
    "a new network, which may take two passes",
    "a trained network that is not to be trained again",
    "a network that keeps its weights, is trained on, and must be as fast as it is",
)


def with_three_seeds(records: list[Record], **dice: float) -> list[Record]:
    third = [r.model_copy(update={"seed": 2, "key": r.key[::-1]}) for r in records if r.seed == 0]
    return [
        r.model_copy(
            update={
                "scores": r.scores
                | {LEAD: abs(r.scores[LEAD] or 0) * (1 + 0.01 * r.seed)}
                | ({"dice@0.5": dice[r.init.replace("-", "_")]} if dice else {})
            }
        )
        for r in [*records, *third]
    ]


def renamed(records: list[Record], old: str, new: str) -> list[Record]:
    return [r.model_copy(update={"init": new}) if r.init == old else r for r in records]


def answers(records: list[Record]) -> dict[str, Recommendation]:
    return {each.situation: each for each in recommend(board_of(records))}


def test_what_is_less_biased_at_no_loss_is_recommended(records: list[Record]) -> None:
    told = answers(with_three_seeds(records))
    assert list(told) == [TO_TRAIN, TWO_PASSES]
    assert told[TO_TRAIN].names == ["uniform-green"]
    assert told[TO_TRAIN].reason.startswith("uniform-green has 100 (100–100) % less model asym")
    assert "% less flip error" in told[TO_TRAIN].reason


def test_two_passes_are_for_those_who_may_take_them(records: list[Record]) -> None:
    told = answers(with_three_seeds(renamed(records, "uniform-green", "rgb+flip-average")))
    assert list(told) == [TWO_PASSES, TRAINED]
    assert told[TRAINED].names == ["rgb+flip-average"]


def test_who_keeps_the_weights_is_told_what_fills_no_stem(records: list[Record]) -> None:
    told = answers(with_three_seeds(renamed(records, "uniform-green", "rgb+mirror-tied")))
    assert list(told) == [TO_TRAIN, TWO_PASSES, KEPT]
    assert told[KEPT].names == ["rgb+mirror-tied"]
    told = answers(with_three_seeds(renamed(records, "uniform-green", "rgb+shared-stem")))
    assert list(told) == [TO_TRAIN, TWO_PASSES], "another stem is no weights that are kept"


def test_another_number_of_slices_is_named(records: list[Record]) -> None:
    five = [r.model_copy(update={"slices": 5}) for r in with_three_seeds(records)]
    assert next(iter(answers(five))) == f"{TO_TRAIN} (stacks of 5 slices)"


def test_what_costs_dice_is_not_recommended(records: list[Record]) -> None:
    told = answers(with_three_seeds(records, rgb=0.9, uniform_green=0.8))
    assert told[TO_TRAIN].names == []
    assert told[TO_TRAIN].reason.startswith("none is shown to be less biased by every measure")


def test_what_one_measure_denies_is_not_recommended(records: list[Record]) -> None:
    alike = [
        r.model_copy(update={"scores": r.scores | {"flip_error": 0.1 + 0.01 * r.seed}})
        for r in with_three_seeds(records)
    ]
    assert answers(alike)[TO_TRAIN].names == []


def test_two_seeds_recommend_nothing(records: list[Record]) -> None:
    told = answers(records)[TO_TRAIN]
    assert told.names == []
    assert told.reason == "it takes 3 seeds of every pair to recommend one"


def test_what_another_such_is_shown_to_beat_is_not_recommended(records: list[Record]) -> None:
    """Less biased than the baseline, too, but with five times the flip error of the best."""
    worse = [
        r.model_copy(
            update={
                "init": "mirror",
                "key": f"worse-{r.key}",
                "scores": r.scores | {"flip_error": 5 * (r.scores["flip_error"] or 0)},
            }
        )
        for r in records
        if r.init == "uniform-green"
    ]
    both = answers(with_three_seeds([*records, *worse]))[TO_TRAIN]
    others = [r for r in records if r.init != "uniform-green"]
    alone = answers(with_three_seeds([*others, *worse]))[TO_TRAIN]
    assert both.names == ["uniform-green"]
    assert alone.names == ["mirror"]
