"""Instances against known answers, and the formulas that challenges score by."""

import numpy as np
import pytest
from optional_sections import Mix, sections_of

from emsym.scores.optional.instance_errors import INSTANCE_ERRORS, arand_singletons, voi
from emsym.scores.segmentation import arand

pytestmark = pytest.mark.numerical


def test_predicted_pixels_of_no_instance_join_nothing() -> None:
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2]])
    predicted = np.array([[5, 5, 5, 0, 0, 7, 7, 7]])
    # 3 + 3 pairs are right, of 3 + 3 predicted and 6 + 6 true ones
    assert arand_singletons(predicted, truth) == pytest.approx(1 - 2 * 6 / (6 + 12))
    # with both zeros one segment there is a further, wrong pair
    assert arand(predicted, truth) == pytest.approx(1 - 2 * 6 / (7 + 12))
    assert arand_singletons(truth, truth) == 0


def test_it_is_the_formula_of_the_challenges_up_to_pairs_of_a_pixel_with_itself() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, (2, 64, 64))
    p = np.zeros((5, 5))
    np.add.at(p, (truth.ravel(), predicted.ravel()), 1)
    inside, alone = p[1:, 1:], p[1:, 0].sum()
    total = p[1:].sum()  # the pairs of a pixel with itself, which challenges count
    true = np.square(p[1:].sum(1)).sum()
    found = np.square(p[1:, 1:].sum(0)).sum() + alone
    both = np.square(inside).sum() + alone
    expected = 1 - 2 * (both - total) / (true + found - 2 * total)
    assert arand_singletons(predicted, truth) == pytest.approx(expected)
    assert expected == pytest.approx(1 - 2 * both / (true + found), abs=2e-3)


def test_splits_and_mergers_are_told_apart() -> None:
    two, one = np.array([[1, 1, 2, 2]]), np.array([[3, 3, 3, 3]])
    assert voi(two, one) == (1, 0), "one bit says which half a pixel is in"
    assert voi(one, two) == (0, 1)
    assert voi(two, two) == (0, 0)
    assert voi(two, np.zeros_like(two)) is None


def test_what_is_no_true_instance_does_not_count() -> None:
    truth, predicted = np.array([[1, 1, 0, 0, 2, 2]]), np.array([[3, 3, 3, 4, 4, 4]])
    assert voi(predicted, truth) == (0, 0)


def test_sections_are_scored_by_their_rule_and_pieces_count_apart() -> None:
    instances = np.array([[[7, 7, 0, 7, 7]] * 3] * 2)  # one neurite that these sections cut twice
    x = np.where(instances == 0, 1.0, -1.0)[:, None].repeat(3, 1)
    given = {"instances": instances, "instances_lie": "between"}
    sections = sections_of(Mix(0, 1, 0), x, instances == 0, **given)
    for score in INSTANCE_ERRORS:
        assert score.compute(sections).tolist() == [0, 0], score.name
    blind = sections_of(Mix(0, 0, 0), x, instances == 0, **given)
    blind_to = [score.compute(blind)[0] for score in INSTANCE_ERRORS[1:]]
    assert blind_to == pytest.approx([0, 1])
    none = sections_of(Mix(0, 1, 0), x, instances == 0)
    assert np.isnan(INSTANCE_ERRORS[0].compute(none)).all()
