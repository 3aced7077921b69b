"""What networks that need a known slice lose without it."""

import numpy as np
import pytest
from optional_sections import Mix, sections_of

from emsym.scores.optional.missing_neighbour import MISSING_NEIGHBOUR, dice_without

RNG = np.random.default_rng(0)
TRUTH = RNG.random((2, 32, 32)) > 0.5
X = np.repeat(np.where(TRUTH, 1.0, -1.0)[:, None], 5, 1)
BEFORE, AFTER, ASYMMETRY = (score.compute for score in MISSING_NEIGHBOUR)


def test_a_network_that_reads_one_neighbour_loses_all_without_it() -> None:
    sections = sections_of(Mix(0, 0, 0, 1, 0), X, TRUTH)
    assert BEFORE(sections).tolist() == [1, 1]
    assert AFTER(sections).tolist() == [0, 0]
    assert ASYMMETRY(sections).tolist() == [1, 1]
    assert ASYMMETRY(sections_of(Mix(0, 1, 0, 0, 0), X, TRUTH)).tolist() == [-1, -1]


def test_a_network_that_treats_both_sides_alike_misses_both_alike() -> None:
    noisy = X + 3 * RNG.standard_normal(X.shape)
    sections = sections_of(Mix(0.1, 1, 0.5, 1, 0.1), noisy, TRUTH)
    assert ASYMMETRY(sections) == pytest.approx([0, 0], abs=1e-12)
    assert not np.array_equal(BEFORE(sections), AFTER(sections)), "the images differ"


def test_pixels_without_a_label_do_not_count_and_sections_without_any_have_no_dice() -> None:
    sections = sections_of(Mix(0, 1, 0), X[:, 1:4], TRUTH.copy())
    sections.known[0] = False
    sections.known[1, :16] = False
    sections.truth[1, :16] ^= True
    found = dice_without(sections, 1)
    assert np.isnan(found[0])
    assert found[1] == 1


def test_a_single_slice_has_no_neighbour_to_miss() -> None:
    sections = sections_of(Mix(1), X[:, :1], TRUTH)
    assert BEFORE(sections).tolist() == [1, 1]
    assert ASYMMETRY(sections).tolist() == [0, 0]
