"""The sentence says what the tests on the cells say."""

from collections.abc import Callable

import pytest
from made_boards import board_of

from emsym.leaderboard.render.answer import Answer, answer
from emsym.run.store.record import Cost, Record


@pytest.fixture
def said(records: list[Record]) -> Callable[..., Answer]:
    """The answer for a bias of the baseline and of a strategy, over several seeds."""

    def of(
        rgb: float,
        other: float,
        seeds: int = 4,
        dice: float = 0.0,
        noise: float = 0.01,
        slower: float = 1.0,
    ):
        made = []
        for record in records:
            for seed in range(seeds):
                value = (rgb if record.init == "rgb" else other) + noise * (seed % 2)
                moved = dice * (record.init != "rgb") + 1e-4 * seed
                scores = {
                    **record.scores,
                    "dice@0.5": 0.8 + moved,
                    "flip_error": abs(value) / 10 + 1e-5 * seed,
                    "saliency/true-foreground/model_asymmetry": value,
                    "saliency/true-foreground/neighbour_asymmetry": value,
                }
                answer_ms = 2.0 * (1.0 if record.init == "rgb" else slower)
                cost = Cost(parameters=9, passes=1, step_ms=3.0, answer_ms=answer_ms)
                changes = {"seed": seed, "key": f"{record.init}-{seed}", "scores": scores}
                changes |= {"cost": cost}
                if record.seed == 0:
                    made.append(record.model_copy(update=changes))
        return answer(board_of(made), lambda name: f"“{name}”")

    return of


def test_a_bias_and_what_takes_it_away(said) -> None:
    found = said(0.5, 0.01)
    assert found.word == "No"
    assert found.strategy == "uniform-green"
    assert "the slice after (z+1) counts more than the one before (z−1)" in found.sentence
    assert "“uniform-green” takes away 9" in found.sentence
    assert found.sentence.endswith("at no loss of Dice beyond 0.01.")
    assert found.more == (
        "Shown to be less biased than “rgb”: 1 of 1 strategies by saliency, 1 by flip error "
        "and 1 by all of these."
    )


def test_the_other_side(said) -> None:
    assert "the slice before (z−1) counts more than the one after (z+1)" in said(-0.5, 0.0).sentence


def test_the_price_is_told(said) -> None:
    assert said(0.5, 0.0, dice=-0.1).sentence.endswith("at a loss of Dice of more than 0.01.")


def test_the_time_it_takes_is_told_where_it_is_more(said) -> None:
    sentence = said(0.5, 0.0, slower=2.0).sentence
    assert sentence.endswith("but takes 2.00 (2.00–2.00) times as long to answer.")
    assert "times as long" not in said(0.5, 0.0, slower=1.05).sentence


def test_what_is_wholly_gone_is_told_as_all(said) -> None:
    assert "“uniform-green” takes away all of this by saliency" in said(0.5, 0.0, noise=0).sentence


def test_what_no_test_shows_is_not_claimed(records) -> None:
    """By exact values it has less of the bias in the mean, but its seeds disagree."""
    exact = "slice-shapley/true-foreground/model_asymmetry"
    made = []
    for record in (each for each in records if each.seed == 0):
        for seed, value in enumerate((0.1, 0.7, 0.1, 0.7)):
            is_rgb = record.init == "rgb"
            scores = {
                **record.scores,
                "saliency/true-foreground/model_asymmetry": (0.5 if is_rgb else 0) + seed / 100,
                exact: 0.5 if is_rgb else value,
            }
            changes = {"seed": seed, "key": f"{record.init}-{seed}", "scores": scores}
            made.append(record.model_copy(update=changes))
    sentence = answer(board_of(made), str).sentence
    assert "by saliency" in sentence
    assert "exact Shapley" not in sentence


def test_no_bias_is_a_yes_and_too_much_noise_is_neither(said) -> None:
    assert said(0.01, 0.011).word == "Yes"
    assert said(0.04, 0.03, noise=0.05).word == "Not decided"


def test_where_nothing_is_less_biased_nothing_is_named(said) -> None:
    found = said(0.5, 0.6)
    assert found.strategy is None
    assert found.sentence.endswith("no other strategy is shown to be less biased.")


def test_few_seeds_name_nothing(said) -> None:
    found = said(0.5, 0.01, seeds=2)
    assert found.strategy is None
    assert "it takes 3 seeds" in found.sentence


def test_without_a_baseline_there_is_no_answer(records) -> None:
    found = answer(board_of([r for r in records if r.init != "rgb"]), str)
    assert (found.word, found.strategy) == ("", None)
