import numpy as np
import pytest

from emsym.auditing.unlabelled import find_unlabelled
from emsym.errors import UserError


@pytest.mark.parametrize(
    ("labels", "dtype", "ignore", "missing"),
    [
        ([0, 1, 255], "u1", None, [2]),
        ([0, 1, 65535], "u2", None, [2]),
        ([0, 1, 254, 255], "u1", None, []),  # a gradation
        ([0, 255], "u1", None, []),  # a mask
        ([-1, 0, 1], "i2", None, [0]),
        ([-1.0, 0.0, 1.0], "f4", None, [0]),
        ([0, 1, 7], "u1", 7, [2]),
        ([-1, 0, 7], "i2", 7, [2]),  # what is said counts, and nothing else
    ],
)
def test_which_pixels_have_no_label(
    labels: list, dtype: str, ignore: int | None, missing: list[int]
) -> None:
    mask, notes = find_unlabelled(np.array(labels, dtype), ignore)
    assert (mask is None) == (notes == []) == (missing == [])
    assert (mask is None and missing == []) or np.flatnonzero(mask).tolist() == missing


def test_the_note_says_which_value_and_how_much_and_whether_it_was_assumed() -> None:
    labels = np.array([0, 1, 1, 255], np.uint8)
    (assumed,) = find_unlabelled(labels, None)[1]
    assert "Where labels are 255, 25.0% of the pixels" in assumed
    assert "another is told with --ignore" in assumed
    (told,) = find_unlabelled(labels, 255)[1]
    assert "--ignore" not in told


def test_a_value_that_is_nowhere_is_told() -> None:
    assert find_unlabelled(np.array([0, 1]), 9) == (
        None,
        ["No label is 9 in the pixels looked at: none was left out."],
    )


def test_labels_of_nothing_else_are_refused() -> None:
    with pytest.raises(UserError, match="nothing but values that mean no label"):
        find_unlabelled(np.array([-1, -2]), None)


def test_ignoring_all_foreground_is_refused() -> None:
    with pytest.raises(UserError, match="leaves out the only label that is not 0"):
        find_unlabelled(np.array([0, 255], np.uint8), 255)
