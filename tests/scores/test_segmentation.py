"""Segmentation scores against known answers, scikit-learn and scikit-image."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label
from skimage.metrics import adapted_rand_error
from sklearn.metrics import f1_score, jaccard_score

from emsym.scores.segmentation import Counts, arand, arand_2d, arand_3d, components, pooled

pytestmark = pytest.mark.numerical

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6))


def pairs(elements, shape=(3, 5, 5)):
    return st.tuples(*[hnp.arrays(np.int64, shape, elements=elements)] * 2)


# --- IoU and Dice ---------------------------------------------------------------------------------


def test_known_counts():
    predicted = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
    truth = np.array([[0, 1, 1, 1], [1, 0, 0, 0]], bool)
    counts = Counts.of(predicted, truth)
    assert counts == (2, 1, 2)
    assert counts.dice == pytest.approx(4 / 7)
    assert counts.iou == pytest.approx(2 / 5)


@given(data=st.data(), truth=MASKS)
@settings(max_examples=60, deadline=None)
def test_dice_and_iou_are_those_of_scikit_learn(data, truth):
    predicted = data.draw(hnp.arrays(bool, truth.shape))
    assume(predicted.any() or truth.any())
    counts = Counts.of(predicted, truth)
    assert counts.dice == pytest.approx(f1_score(truth.ravel(), predicted.ravel()))
    assert counts.iou == pytest.approx(jaccard_score(truth.ravel(), predicted.ravel()))


def test_no_foreground_on_either_side_has_no_score():
    nothing = np.zeros((3, 3), bool)
    assert Counts.of(nothing, nothing).dice is None
    assert Counts.of(nothing, nothing).iou is None
    assert Counts.of(~nothing, nothing).dice == 0
    assert Counts.of(nothing, ~nothing).iou == 0


def test_pooled_counts_are_those_of_all_images_together():
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((2, 4, 6, 6)) > 0.6
    truth[0] = predicted[0] = False
    each = [Counts.of(ours, theirs) for ours, theirs in zip(predicted, truth, strict=True)]
    assert pooled(each) == Counts.of(predicted, truth)
    assert pooled(each).dice == Counts.of(predicted, truth).dice


# --- instances ------------------------------------------------------------------------------------


def test_components_of_the_foreground_and_between_it():
    foreground = np.array(
        [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
        bool,
    )
    bodies = components(foreground, "foreground")
    assert bodies.max() == 5  # corners do not touch
    assert bodies[0, 3] == bodies[1, 3]
    np.testing.assert_array_equal(bodies > 0, foreground)
    spaces = components(foreground, "between")
    np.testing.assert_array_equal(spaces > 0, ~foreground)
    assert spaces.max() == 3
    assert spaces[0, 1] == spaces[1, 2]
    assert len({spaces[0, 1], spaces[1, 0], spaces[2, 3]}) == 3


def test_components_of_a_volume_join_along_z():
    foreground = np.zeros((3, 4, 4), bool)
    foreground[0, 1, 1] = foreground[1, 1, 1] = foreground[2, 2, 2] = True
    bodies = components(foreground, "foreground")
    assert bodies[0, 1, 1] == bodies[1, 1, 1] != bodies[2, 2, 2]
    assert bodies.max() == 2


# --- adapted Rand error ---------------------------------------------------------------------------


def test_known_rand_errors():
    truth = np.array([[1, 1, 2, 2]])
    assert arand(np.array([[5, 5, 9, 9]]), truth) == 0
    # 2 of the 6 pairs of the merged segment are right, of 2: precision 1/3, recall 1
    assert arand(np.array([[5, 5, 5, 5]]), truth) == pytest.approx(1 - 2 * (1 / 3) / (4 / 3))
    assert arand(np.array([[1, 2, 3, 4]]), truth) == pytest.approx(1)


def test_truly_unlabelled_pixels_do_not_count():
    truth = np.array([[1, 1, 0, 0, 2, 2]])
    assert arand(np.array([[3, 3, 3, 4, 4, 4]]), truth) == 0


def test_predicted_background_is_one_more_segment():
    assert arand(np.array([[0, 0, 7, 7]]), np.array([[1, 1, 2, 2]])) == 0


@given(labels=pairs(st.integers(0, 4)))
@settings(max_examples=60, deadline=None)
def test_rand_error_is_that_of_scikit_image(labels):
    predicted, truth = labels
    assume((np.unique(truth[truth > 0], return_counts=True)[1] > 1).any())
    expected = adapted_rand_error(truth, predicted, ignore_labels=(0,))[0]
    assert arand(predicted, truth) == pytest.approx(expected)
    assert 0 <= expected <= 1


@given(labels=pairs(st.integers(0, 4)))
@settings(max_examples=60, deadline=None)
def test_volume_error_is_that_of_scikit_image(labels):
    predicted, truth = labels
    assume((np.unique(truth[truth > 0], return_counts=True)[1] > 1).any())
    expected = adapted_rand_error(truth, predicted, ignore_labels=(0,))[0]
    assert arand_3d(predicted, truth) == pytest.approx(expected)


@given(labels=pairs(st.integers(1, 3)))
@settings(max_examples=20, deadline=None)
def test_volume_without_unlabelled_pixels_counts_every_instance(labels):
    predicted, truth = labels
    expected = adapted_rand_error(truth, predicted, ignore_labels=(0,))[0]
    assert arand_3d(predicted, truth) == pytest.approx(expected)


@given(
    truth=hnp.arrays(np.int64, (3, 5, 5), elements=st.integers(0, 4)),
    ids=st.permutations(range(1, 5)),
)
@settings(max_examples=40, deadline=None)
def test_identical_up_to_relabelling_is_without_error(truth, ids):
    assume((np.bincount(truth[truth > 0]) > 1).any())
    renamed = np.array([0, *ids])[truth]
    assert arand_3d(renamed, truth) == pytest.approx(0)
    for error, section in zip(arand_2d(renamed, truth), truth, strict=True):
        pieces = np.bincount(label(section, connectivity=1).ravel())[1:]
        assert error == (pytest.approx(0) if (pieces > 1).any() else None)


def test_one_labelled_pixel_makes_no_pair():
    truth = np.zeros((1, 4, 4), np.int64)
    truth[0, 1, 1] = 1
    for error in (arand(truth, truth), *arand_2d(truth, truth), arand_3d(truth, truth)):
        assert error is None


def test_no_true_instances_have_no_error():
    nothing, something = np.zeros((2, 4, 4), int), np.ones((2, 4, 4), int)
    assert arand(something[0], nothing[0]) is None
    assert arand_2d(something, nothing) == [None, None]
    assert arand_3d(something, nothing) is None


def test_section_error_counts_the_pieces_of_an_instance_apart():
    truth = np.array([[[7, 7, 0, 7, 7]]])  # one instance that this section cuts twice
    assert arand_2d(np.array([[[1, 1, 0, 2, 2]]]), truth) == [0]
    assert arand_3d(np.array([[[1, 1, 0, 2, 2]]]), truth) > 0


def test_huge_ids_cost_no_more_than_small_ones():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 5, (3, 16, 16))
    huge = np.array([0, 10**9, 10**9 + 7, 2**31 - 1, 2**40])[small]
    predicted = rng.integers(0, 5, small.shape)
    expected = arand_3d(predicted, small), arand_2d(predicted, small)
    tracemalloc.start()
    found = arand_3d(predicted, huge), arand_2d(predicted, huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found[0] == pytest.approx(expected[0])
    assert found[1] == pytest.approx(expected[1])
    assert peak < 10e6
