"""What a stranger's code or file says is told on one short line."""

import pytest

from emsym.errors import escape_unseen, first_line, first_names, first_three


@pytest.mark.parametrize("names", [["a\nb"], ["\x1b[31mred"], ["é" * 300]])
def test_names_of_a_file_stay_on_one_short_line(names: list[str]) -> None:
    line = first_names(names)
    assert line.isprintable()
    assert len(line) <= 201


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\x1b", "\x9b", "\u202e", "\u200b", "\u2028", "\ud800"]
)
def test_what_cannot_be_seen_is_escaped(sign: str) -> None:
    assert escape_unseen(f"é 10\u202f000{sign}").startswith("é 10\u202f000\\")


def test_three_names_are_all_and_four_are_not() -> None:
    assert first_names([1, 2, 3]) == "1, 2, 3"
    assert first_names([1, 2, 3, 4]) == "1, 2, 3, …"
    assert first_three(["a", "b", "c"]) == "a, b, c"


def test_an_error_without_words_is_told_by_its_type() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("x" * 999)) == "x" * 200
