"""What a score is called, and between what it lies when it is compared."""

import math

import pytest

from emsym.scores.score import BASELINE, Score, score_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("dice@0.5", "dice"),
        ("arand_3d", "arand_3d"),
        ("plugin/own", "own"),
        ("foreground/pixels", "pixels"),
        ("slice-shapley/true-foreground/slice_shapley[+0]", "slice_shapley"),
    ],
)
def test_a_score_goes_by_the_end_of_its_key(key: str, name: str) -> None:
    assert score_name(key) == name
    assert Score(key, "", "").name == name


def test_a_size_is_compared_within_the_bounds_of_sizes() -> None:
    assert Score("x", "", "", bounds=(-1, 0.5)).compared_bounds == (-1, 0.5)
    assert Score("x", "", "", bounds=(-1, 0.5), absolute=True).compared_bounds == (0, 1)
    assert Score("x", "", "", bounds=(-math.inf, 1), absolute=True).compared_bounds[1] == math.inf


def test_a_sentence_takes_the_long_title_where_there_is_one() -> None:
    assert Score("x", "asym.", "").term == "asym."
    assert Score("x", "asym.", "", long_title="asymmetry").term == "asymmetry"


def test_only_a_score_with_a_better_way_is_compared_with_the_baseline() -> None:
    assert Score("x", "", "", better="low").baseline == BASELINE
    assert Score("x", "", "").baseline is None
