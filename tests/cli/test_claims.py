"""`claims` prints a verdict on each claim with its numbers."""

from pathlib import Path

from click.testing import CliRunner

from emsym.cli.claims import claims
from emsym.errors import UserError


def test_each_claim_has_a_verdict(store: Path) -> None:
    done = CliRunner().invoke(claims, ["--output", str(store)], catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0] == "tiny, version 1, 4 cells:"
    assert lines[1].startswith("(a) RGB-pretrained networks give the slices")
    assert any(line.endswith("NOT TRIED.") for line in lines)


def test_a_protocol_that_is_not_stored_is_a_sentence(store: Path) -> None:
    done = CliRunner().invoke(claims, ["--output", str(store), "--protocol", "tinny"])
    assert isinstance(done.exception, UserError)


def test_a_file_that_is_not_there_is_a_sentence(store: Path) -> None:
    done = CliRunner().invoke(claims, ["--output", str(store), "--file", "none.toml"])
    assert isinstance(done.exception, UserError)
