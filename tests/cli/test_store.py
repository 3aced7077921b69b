from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emsym.cli.store import store as command
from emsym.errors import UserError
from emsym.protocol import Protocol
from emsym.run.job import jobs
from emsym.run.store.record import record_of


def call(*words: object) -> Result:
    options = {"standalone_mode": False, "catch_exceptions": False}
    return CliRunner().invoke(command, [*map(str, words)], **options)


def test_check_counts_records_and_sets_damaged_ones_aside(store: Path) -> None:
    assert call("check", "--output", store).output.strip() == "4 done, 0 failed, 0 damaged."
    path = next((store / "records").iterdir())
    path.write_text("{")
    with pytest.warns(UserWarning, match="is damaged"):
        done = call("check", "--output", store)
    assert (done.return_value, done.output.strip()) == (1, "3 done, 0 failed, 1 damaged.")
    assert not path.exists()


def test_merge_takes_what_is_not_there_and_keeps_what_differs(
    store: Path, protocol: Protocol, tmp_path: Path, keep: Callable
) -> None:
    output = tmp_path / "both"
    first = jobs(protocol)[0]
    keep(output, record_of(first, status="done", scores={"dice@0.5": 0.125}))
    done = call("merge", store, "--output", output)
    assert done.return_value == 1
    assert "3 taken, 0 were there already." in done.output
    assert f"{first.key} has other numbers there" in done.output
    assert "0.125" in (output / "records" / f"{first.key}.json").read_text()
    assert call("merge", output, "--output", output).return_value == 0


def test_gc_removes_leftovers_and_where_told_other_protocols_records(
    store: Path, tiny: Path
) -> None:
    left = store / "records" / "a.json.damaged"
    left.write_text("{")
    assert f"would remove {left}" in call("gc", "--dry-run", "--output", store).output
    assert left.exists()
    assert f"removed {left}\n1 file," in call("gc", "--output", store).output
    assert not left.exists()
    with pytest.raises(UserError, match="--dry-run"):
        call("gc", "--protocol", tiny, "--output", store)
    words = ("gc", "--protocol", tiny, "--yes", "--output", store)
    assert call(*words).output.startswith("0 files")
    tiny.write_text(tiny.read_text().replace("seeds = [0, 1]", "seeds = [0]"))
    assert "2 files" in call(*words).output
    assert len(list((store / "records").iterdir())) == 2


@pytest.mark.parametrize("words", [("check",), ("merge", "none"), ("gc",)])
def test_a_folder_without_a_store_is_a_sentence(tmp_path: Path, words: tuple) -> None:
    with pytest.raises(UserError, match="There is no store at"):
        call(*words, "--output", tmp_path)
