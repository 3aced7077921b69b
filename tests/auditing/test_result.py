"""A report takes two names, and neither may be taken."""

from pathlib import Path

import pytest

from emsym.auditing.result import check_free
from emsym.errors import UserError


def test_the_numbers_lie_beside_the_page(tmp_path: Path) -> None:
    assert check_free(tmp_path / "a.html") == [tmp_path / "a.html", tmp_path / "a.json"]


@pytest.mark.parametrize("taken", ["a.html", "a.json"])
def test_a_file_that_exists_is_never_written_over(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).touch()
    with pytest.raises(UserError, match=f"{taken} exists"):
        check_free(tmp_path / "a.html")


def test_a_report_is_a_page(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end in \.html"):
        check_free(tmp_path / "a.pdf")
