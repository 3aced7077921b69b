import numpy as np
import pytest

from emsym.run.example import _bytes, _middle


@pytest.mark.parametrize(
    ("values", "low", "expected"),
    [
        ([2.0, 3.0, 4.0], None, [0, 128, 255]),
        ([0.0, 1.0, 4.0], 0.0, [0, 64, 255]),
        ([5.0, 5.0, 5.0], None, [0, 0, 0]),
    ],
)
def test_numbers_become_bytes_from_the_least_to_the_largest(values, low, expected) -> None:
    assert _bytes(np.array(values), low).tolist() == expected


def test_of_a_large_picture_the_middle_is_kept_and_a_small_one_whole() -> None:
    large = np.arange(100 * 98).reshape(1, 100, 98)
    assert np.array_equal(_middle(large), large[:, 2:98, 1:97])
    small = np.zeros((3, 40, 30))
    assert _middle(small).shape == (3, 40, 30)
