"""What a stranger's code or file says is told on one short line."""

import pytest

from emsym.errors import first_line, first_names, first_three


@pytest.mark.parametrize("names", [["a\nb"], ["\x1b[31mred"], ["é" * 300]])
def test_names_of_a_file_stay_on_one_short_line(names: list[str]) -> None:
    line = first_names(names)
    assert line.isprintable()
    assert len(line) <= 201


def test_three_names_are_all_and_four_are_not() -> None:
    assert first_names([1, 2, 3]) == "1, 2, 3"
    assert first_names([1, 2, 3, 4]) == "1, 2, 3, …"
    assert first_three(["a", "b", "c"]) == "a, b, c"


def test_an_error_without_words_is_told_by_its_type() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("x" * 999)) == "x" * 200
