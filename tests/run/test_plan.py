from collections.abc import Callable
from pathlib import Path

from emsym.protocol import Protocol
from emsym.run.job import jobs
from emsym.run.plan import plan
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
