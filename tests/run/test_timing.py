import pytest

from emsym.run.timing import timed


def test_the_seconds_of_a_block_are_noted_also_where_it_raises() -> None:
    seconds: dict[str, float] = {}

    def fail() -> None:
        with timed(seconds, "work"):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no words
        fail()
    assert seconds.keys() == {"work"}
    assert 0 <= seconds["work"] < 10
