"""Further passes of a network, which scores of the same sections share."""

import numpy as np
import torch
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


def test_what_shapley_values_asked_for_takes_no_pass_again() -> None:
    torch.manual_seed(0)
    calls = []

    class Counted(Mix):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(len(x))
            return super().forward(x)

    x = np.random.default_rng(0).standard_normal((3, 5, 32, 32)).astype(np.float32)
    model = Counted(0.5, -1, 2, 1, -0.3)
    sections = sections_of(model, x)
    asked = [(0, -1, 2, 3, 4), (4, 3, 2, -1, 0), (0, 1, 2, -1, -1)]
    calls.clear()
    known = [sections.predicted_from(each) for each in asked]
    assert not calls
    sections.predictions.clear()
    for arrangement, before in zip(asked, known, strict=True):
        assert 0 < before.mean() < 1
        np.testing.assert_array_equal(sections.predicted_from(arrangement), before)
    assert sum(calls) == 9
