"""Symmetry scores: known answers, ranges, and what reversing the slices does to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from emsym import UserError, create_model
from emsym.models.interventions.mirror_tied import is_tied
from emsym.models.stem.profile import stem_profile
from emsym.scores.symmetry import (
    flip_dice,
    flip_error,
    imbalance,
    mirror_distance,
    neighbour_asymmetry,
    slice_share,
    symmetry,
)

pytestmark = pytest.mark.numerical


SLICES = st.sampled_from([1, 3, 5, 7])


VALUES = st.floats(-10, 10, width=32).map(lambda value: value if abs(value) > 1e-6 else 0.0)


@st.composite
def attributions(draw, slices=SLICES, values=VALUES):
    """A, (N, S, H, W) float32."""
    shape = (draw(st.integers(1, 3)), draw(slices), 2, 3)
    return draw(hnp.arrays(np.float32, shape, elements=values))


def planes(*masses):
    """One image with that much attribution in each slice."""
    return np.array(masses, np.float32).reshape(1, -1, 1, 1) * np.ones((1, 1, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("masses", "share", "unequal", "asymmetry"),
    [
        ((1, 0, 0), (1, 0, 0), 1, -1),
        ((0, 0, 5), (0, 0, 1), 1, 1),
        ((0, 2, 0), (0, 1, 0), 1, np.nan),
        ((1, 1, 1), (1 / 3, 1 / 3, 1 / 3), 0, 0),
        ((-1, 2, 1), (1 / 4, 1 / 2, 1 / 4), 1 / 4, 0),
        ((3, 6, 1), (0.3, 0.6, 0.1), 0.4, -0.5),
        ((0, 1, 2, 4, 1), (0, 1 / 8, 1 / 4, 1 / 2, 1 / 8), 7 / 16, 2 / 3),
        ((0, 0, 0), (np.nan,) * 3, np.nan, np.nan),
        ((4,), (1,), 0, np.nan),
    ],
)
def test_known_answers(masses, share, unequal, asymmetry):
    found = slice_share(planes(*masses))
    np.testing.assert_allclose(found, [share])
    np.testing.assert_allclose(imbalance(found), [unequal], atol=1e-12)
    np.testing.assert_allclose(neighbour_asymmetry(found), [asymmetry], atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_attribution_that_is_not_finite_is_missing_and_no_zero(bad):
    one = planes(1, 2, 1).copy()
    one[0, 0, 0, 0] = bad
    assert np.isnan(slice_share(one)).all()
    assert np.isnan(mirror_distance(one, planes(1, 2, 1))).all()


def test_network_that_looks_at_one_side_alone_is_wholly_asymmetric():
    found = symmetry(planes(1, 0, 0), planes(1, 0, 0))  # z−1, also when the stack is reversed
    assert found.model_asymmetry == [-1]
    assert found.data_asymmetry == [0]


def test_image_with_more_on_one_side_is_no_bias_of_the_network():
    found = symmetry(planes(1, 2, 3), planes(3, 2, 1))
    assert found.model_asymmetry == pytest.approx([0])
    assert found.data_asymmetry == pytest.approx([0.5])


def test_images_are_scored_apart_and_missing_ones_stay_missing():
    both = np.concatenate([planes(1, 1, 3), planes(0, 0, 0)])
    found = symmetry(both, both)
    for column in (found.imbalance, found.neighbour_asymmetry, found.model_asymmetry):
        assert np.isnan(column).tolist() == [False, True]
    assert np.isnan(found.share).tolist() == [[False] * 3, [True] * 3]
    assert found.model_asymmetry[0] == symmetry(both[:1], both[:1]).model_asymmetry[0]


@given(attribution=attributions())
@settings(max_examples=80, deadline=None)
def test_scores_stay_in_their_ranges(attribution):
    share = slice_share(attribution)
    given_mass = np.abs(attribution).sum((1, 2, 3)) > 0
    np.testing.assert_array_equal(np.isfinite(share).all(1), given_mass)
    share = share[given_mass]
    assert (share >= 0).all()
    np.testing.assert_allclose(share.sum(1), 1)
    unequal, asymmetry = imbalance(share), neighbour_asymmetry(share)
    assert ((unequal >= -1e-12) & (unequal <= 1 + 1e-12)).all()
    asymmetry = asymmetry[~np.isnan(asymmetry)]
    assert (np.abs(asymmetry) <= 1 + 1e-12).all()


@given(attribution=attributions(), factor=st.sampled_from([-2.0, 0.5, 1024.0]))
@settings(max_examples=40, deadline=None)
def test_scale_and_sign_of_an_attribution_do_not_matter(attribution, factor):
    np.testing.assert_allclose(
        slice_share(attribution * np.float32(factor)), slice_share(attribution)
    )


@given(attribution=attributions())
@settings(max_examples=80, deadline=None)
def test_swapping_the_sides_flips_the_sign(attribution):
    here, there = (
        neighbour_asymmetry(slice_share(part)) for part in (attribution, attribution[:, ::-1])
    )
    np.testing.assert_allclose(there, -here, atol=1e-12)
    unequal, same = (imbalance(slice_share(part)) for part in (attribution, attribution[:, ::-1]))
    np.testing.assert_allclose(same, unequal, atol=1e-12)


@pytest.mark.parametrize("slices", [3, 5, 7, 9])
def test_mirror_symmetric_network_has_exactly_no_model_asymmetry(slices):
    rng = np.random.default_rng(0)
    attribution = rng.standard_normal((200, slices, 2, 3)).astype(np.float32)
    mirrored = np.ascontiguousarray(attribution[:, ::-1])  # A(mirror x) = mirror A(x)
    found = symmetry(attribution, mirrored)
    assert np.abs(found.neighbour_asymmetry).max() > 0.2
    np.testing.assert_array_equal(found.model_asymmetry, 0)
    np.testing.assert_array_equal(found.data_asymmetry, found.neighbour_asymmetry)


@given(data=st.data(), attribution=attributions(st.sampled_from([3, 5])))
@settings(max_examples=60, deadline=None)
def test_model_and_data_asymmetry_add_up(data, attribution):
    mirrored = data.draw(hnp.arrays(np.float32, attribution.shape, elements=VALUES))
    found, back = symmetry(attribution, mirrored), symmetry(mirrored, attribution)
    total = found.model_asymmetry + found.data_asymmetry
    known = ~np.isnan(total)
    np.testing.assert_allclose(total[known], found.neighbour_asymmetry[known], atol=1e-12)
    np.testing.assert_allclose(back.model_asymmetry, found.model_asymmetry, atol=1e-12)
    np.testing.assert_allclose(back.data_asymmetry, -found.data_asymmetry, atol=1e-12)


def test_known_mirror_distances():
    one = planes(1, 2, 3)
    np.testing.assert_allclose(mirror_distance(one, planes(3, 2, 1)), [0])
    np.testing.assert_allclose(mirror_distance(one, planes(-3, -2, -1)), [0])  # size alone counts
    np.testing.assert_allclose(mirror_distance(one, planes(1, 2, 3)), [4 / 12])
    np.testing.assert_allclose(mirror_distance(planes(1, 0, 0), planes(1, 0, 0)), [1])
    assert np.isnan(mirror_distance(planes(0, 0, 0), planes(0, 0, 0)))


def test_mirror_distance_sees_what_the_shares_do_not():
    one = planes(1, 1, 1).copy()
    one[0, 0, 0], other = 0, planes(1, 1, 1).copy()
    other[0, 2, 1] = 0  # as much on each slice, elsewhere
    assert symmetry(one, other).model_asymmetry == [0]
    assert mirror_distance(one, other) > 0.1


@given(data=st.data(), attribution=attributions())
@settings(max_examples=60, deadline=None)
def test_mirror_distance_is_a_distance(data, attribution):
    mirrored = data.draw(hnp.arrays(np.float32, attribution.shape, elements=VALUES))
    there, back = mirror_distance(attribution, mirrored), mirror_distance(mirrored, attribution)
    np.testing.assert_allclose(there, back)
    known = there[~np.isnan(there)]
    assert ((known >= 0) & (known <= 1)).all()
    same = mirror_distance(attribution, attribution[:, ::-1])
    np.testing.assert_array_equal(same[~np.isnan(same)], 0)


def test_known_flip_errors():
    here, there = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    here[0], there[0, 0] = 1, 0.5
    np.testing.assert_allclose(flip_error(here, there), [0.75, 0])
    np.testing.assert_allclose(flip_error(there, here), [0.75, 0])


def test_known_flip_dice():
    here, there = np.zeros((3, 2, 2), bool), np.zeros((3, 2, 2), bool)
    here[0], there[0, 0], here[1] = True, True, True
    np.testing.assert_allclose(flip_dice(here, there), [2 * 2 / 6, 0, np.nan])


def test_tied_stem_is_as_much_on_either_side_and_stays_tied():
    network = create_model("unet-tu-test_resnet", "rgb+mirror-tied")
    found = stem_profile(network)
    assert found.share[0] == pytest.approx(found.share[2], rel=1e-6)
    assert found.filters[:, 0] == pytest.approx(found.filters[:, 2], rel=1e-5)
    assert is_tied(network)


def test_network_without_a_stem_is_refused():
    with pytest.raises(UserError):
        stem_profile(nn.Identity())
