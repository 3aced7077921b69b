"""Further passes of a network, which scores of the same sections share."""

import numpy as np
from optional_sections import Mix, sections_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 32, 32))


def test_stacks_are_arranged_and_passes_shared() -> None:
    sections = sections_of(Mix(1, 0.5, 0), X)
    np.testing.assert_array_equal(sections.predicted_from((0, 1, 2)), sections.predicted)
    np.testing.assert_array_equal(sections.predicted_from((2, 1, 0)), sections.mirror_predicted)
    np.testing.assert_array_equal(sections.predicted_from((-1, 1, -1)), X[:, 1] > 0)
    assert sections.predicted_from((-1, 1, -1)) is sections.predicted_from((-1, 1, -1))
    assert sections.layer_flips is sections.layer_flips


def test_without_labels_no_pixel_is_known() -> None:
    assert not sections_of(Mix(0, 1, 0), X).known.any()
    truth = RNG.random((2, 32, 32)) > 0.5
    sections = sections_of(Mix(0, 1, 0), X, truth)
    assert sections.known.all()
    np.testing.assert_array_equal(sections.truth, truth)
