"""`figures` writes pictures and tables, or says that there is nothing to draw."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.figures import figures
from emsym.errors import UserError

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.slow
def test_of_the_committed_board(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "submissions" / "emsym", tmp_path / "submissions" / "emsym")
    words = ["--output", str(tmp_path), "--to", str(tmp_path / "mine")]
    done = CliRunner().invoke(figures, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "4 figures and the table in" in done.output
    assert "licences: CC0-1.0." in done.output
    (folder,) = (tmp_path / "mine").iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf", ".md", ".csv", ".tex"}


def test_without_a_kept_section_it_says_so(store: Path, tmp_path: Path) -> None:
    shutil.rmtree(store / "examples", ignore_errors=True)
    words = ["--output", str(store), "--to", str(tmp_path)]
    done = CliRunner().invoke(figures, words)
    assert isinstance(done.exception, UserError)
    with pytest.raises(UserError, match="No section was kept to look at"):
        raise done.exception
