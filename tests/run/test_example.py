import numpy as np
import pytest

from emsym.run.example import _bytes


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
