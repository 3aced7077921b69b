"""Every part of a stationary phantom is without direction, and the test of it can fail."""

import numpy as np
import pytest

from emsym.data.phantoms import KINDS, MIN_SHAPE, generate_phantom
from emsym.data.stationary_phantoms import (
    draw_larger_fields,
    generate_stationary_phantom,
    render_middle,
)

SHAPE = (16, 48, 48)
SEEDS = range(24)


def changes_at_ends(phantom):
    """Return by how much labels and grey values change less at the ends than in the middle.

    A split at one end has a direction by as much: the change to z+1 less that to z−1, summed over
    its centres, is the change at its one end less that at its other.
    """
    parts = []
    for values in (phantom.semantic == 1, phantom.image.astype(float)):
        change = np.abs(np.diff(values.astype(float), axis=0)).mean((1, 2))
        middle = change[len(change) // 2 - 3 : len(change) // 2 + 3].mean()
        parts.append(middle - (change[:3].mean() + change[-3:].mean()) / 2)
    share = (phantom.semantic == 1).mean((1, 2))
    return [*parts, share[:3].mean() - share[-3:].mean()]


def t_over_seeds(make):
    samples = np.array([changes_at_ends(make(seed)) for seed in SEEDS])
    return samples.mean(0) / (samples.std(0, ddof=1) / np.sqrt(len(samples)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_splits_are_without_direction(kind):
    t = t_over_seeds(lambda seed: generate_stationary_phantom(kind, SHAPE, seed))
    assert np.abs(t).max() < 3.5, t


@pytest.mark.slow
def test_a_direction_of_splits_is_noticed():
    t = t_over_seeds(lambda seed: generate_phantom("neurites", SHAPE, seed))
    assert t[0] > 4.5, t


def test_the_middle_is_equivariant():
    fields = draw_larger_fields("neurites", MIN_SHAPE, 3)
    there, back = render_middle(fields), render_middle(fields.mirror_image())
    assert there.image.shape == MIN_SHAPE
    np.testing.assert_array_equal(back.semantic, there.semantic[::-1])
    np.testing.assert_array_equal(back.instances, there.instances[::-1])
    assert np.abs(back.image.astype(int) - there.image[::-1]).max() <= 1
    assert not np.array_equal(there.image, there.image[::-1])
    ids = np.unique(there.instances)
    np.testing.assert_array_equal(ids, np.arange(len(ids)))
    assert there.instances.dtype == np.int32


def test_what_is_no_phantom_is_refused_as_ever():
    with pytest.raises(ValueError, match="'axons'"):
        generate_stationary_phantom("axons", SHAPE, 0)
    with pytest.raises(ValueError, match="at least"):
        generate_stationary_phantom("fibres", (64, 64), 0)
