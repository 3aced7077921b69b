"""Slice removal: known answers on networks whose need of each slice is known."""

import numpy as np
import pytest

from emsym.scores.faithfulness.metrics import METRICS
from emsym.scores.faithfulness.slice_removal import ranked

pytestmark = pytest.mark.numerical

X = np.ones((3, 4, 4), np.float32)


def score(total, shares, x=X):
    a = np.ones_like(x) * np.array(shares, np.float32)[:, None, None]
    return METRICS.get("slice-removal").compute(total, x, a, 16)


def weighted(*weights, offset=0.0):
    return lambda stacks: stacks.mean((2, 3)) @ np.array(weights, float) + offset


@pytest.mark.parametrize("offset", [0, -7.5])
def test_network_that_looks_at_the_first_slice_alone(offset):
    total = weighted(2, 0, 0, offset=offset)
    assert score(total, [0.6, 0.3, 0.1]) == pytest.approx(1)
    assert score(total, [0.1, 0.3, 0.6]) == pytest.approx(-1)
    assert score(total, [0.3, 0.6, 0.1]) == pytest.approx(0)  # second in either order


def test_area_between_the_curves_by_hand():
    # greatest first: 1, .4, .1, 0; least first: 1, .9, .6, 0
    assert score(weighted(0.3, 0.6, 0.1), [0.3, 0.5, 0.2]) == pytest.approx(0.5)


def test_sign_of_an_attribution_does_not_matter_and_less_than_nothing_counts_alike():
    assert score(weighted(0.3, 0.6, 0.1), [-0.3, 0.5, -0.2]) == pytest.approx(0.5)
    assert score(weighted(-0.3, -0.6, -0.1), [0.3, 0.5, 0.2]) == pytest.approx(0.5)


def test_slices_that_are_not_told_apart_have_no_area():
    assert score(weighted(5, 2, 1), [1, 1, 1]) == 0


def test_ties_are_broken_in_every_way():
    total = weighted(5, 2, 1)
    ways = [score(total, shares) for shares in ([4, 4.1, 1], [4.1, 4, 1])]
    assert score(total, [4, 4, 1]) == pytest.approx(np.mean(ways))
    assert ways[0] != ways[1]
    assert score(total, [4, 4 * (1 + 1e-8), 1]) == score(total, [4, 4, 1])


def test_interaction_of_slices():
    def total(stacks):  # any one of the outer slices will do
        return stacks[:, [0, 2]].max((1, 2, 3)).astype(float)

    # greatest first z−1, z, z+1: 1, 1, 1, 0; least first z+1, z, z−1: the same
    assert score(total, [3, 2, 1]) == 0
    # greatest first z−1, z+1, z: 1, 1, 0, 0; least first z, z+1, z−1: 1, 1, 1, 0
    assert score(total, [3, 1, 2]) == pytest.approx(0.5)


def test_five_slices():
    assert score(weighted(0, 1, 0, 0, 0), [1, 5, 2, 3, 4], np.ones((5, 4, 4))) == pytest.approx(1)


def test_no_score_where_the_section_counts_as_much_as_nothing():
    assert np.isnan(score(weighted(1, -2, 1, offset=3), [3, 2, 1]))


def test_no_score_of_a_single_slice():
    assert np.isnan(score(weighted(1), [1], X[:1]))


def test_orders_of_seven_tied_slices_are_all_there():
    assert len(ranked(np.full(7, 1 / 7))) == 5040
