from collections.abc import Callable
from pathlib import Path

import pytest

from emsym.models.inits import INITS
from emsym.plugins import require_plugins
from emsym.protocol import Protocol, load_protocol
from emsym.run.job import jobs
from emsym.run.plan import plan, variant_notes, wrong_shapes
from emsym.run.store.record import record_of
from emsym.run.store.store import Store


def test_jobs_are_sorted_by_what_is_stored_of_them(
    tmp_path: Path, protocol: Protocol, made_up: Callable
) -> None:
    stored, failed, damaged, missing = all_jobs = jobs(protocol)
    store = Store(tmp_path / "records")
    store.save(made_up(stored))
    store.save(record_of(failed, status="failed", error="x"))
    store.save(made_up(damaged))
    store.path(damaged.key).write_text('{"schema_version": 1, "key":')
    planned = plan(all_jobs, store)
    assert planned.stored == [stored]
    assert planned.failed == [failed]
    assert planned.missing == [damaged, missing]
    assert planned.damaged == [store.path(damaged.key)]


@pytest.mark.slow
def test_a_strategy_that_ends_its_process_is_left_to_the_check_of_its_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: Protocol
) -> None:
    monkeypatch.setattr(INITS, "_entries", dict(INITS._entries))
    path = tmp_path / "mine.py"
    path.write_text(
        "import os\nfrom emsym import register_init\n"
        "@register_init('killed')\ndef killed(rgb, slices):\n    os.kill(os.getpid(), 9)\n"
        "@register_init('flat')\ndef flat(rgb, slices):\n    return rgb[:, :1]\n"
    )
    require_plugins([path])
    chosen = protocol.select((), (), ("killed", "rgb", "flat"), ())
    (wrong,) = wrong_shapes(chosen, [path]).items()
    assert wrong[0] == "flat"
    assert "gives (64, 1, 7, 7)" in wrong[1]


def test_what_a_variant_is_scored_without_is_said(tiny: Path) -> None:
    assert variant_notes(load_protocol(str(tiny))) == []
    tiny.write_text(f"{tiny.read_text()}\n[vary]\nslices = [3, 9]\n")
    (note,) = variant_notes(load_protocol(str(tiny)))
    assert note == "tiny-9 is scored without slice-shapley, which is for 7 slices at most."
