"""Boundaries that are moved by a known distance."""

import math

import numpy as np
import pytest
from optional_sections import Mix, sections_of

from emsym.scores.optional.boundary_displacement import boundary_displacement, surface_distance


def half(column: int) -> np.ndarray:
    return np.arange(32)[None] < np.full((32, 1), column)


def test_a_straight_boundary_moves_by_so_many_pixels_of_their_size() -> None:
    assert surface_distance(half(10), half(13), (6, 4)) == pytest.approx(3 * 4)
    assert surface_distance(half(13).T, half(10).T, (6, 4)) == pytest.approx(3 * 6)
    assert surface_distance(half(10), half(10), (6, 4)) == 0


def test_discs_move_by_the_difference_of_their_radii() -> None:
    rows, columns = np.indices((128, 128)) - 63.5
    away = np.hypot(rows, columns)
    assert surface_distance(away < 40, away < 45, (1, 1)) == pytest.approx(5, abs=0.15)


def test_a_mask_without_a_boundary_has_no_distance() -> None:
    nothing = np.zeros((32, 32), bool)
    for other in (nothing, ~nothing, half(9)):
        assert math.isnan(surface_distance(nothing, other, (1, 1)))


def test_it_is_that_of_the_stack_and_of_the_reversed_one() -> None:
    x = np.stack([np.where(half(at), 1.0, -1.0) for at in (9, 15, 21)])[None]
    assert boundary_displacement(sections_of(Mix(0, 0, 1), x)) == pytest.approx([12 * 4])
    assert boundary_displacement(sections_of(Mix(0, 1, 0), x)) == pytest.approx([0])
