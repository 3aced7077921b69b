import json
import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.failures import KNOWN, OTHER, failures, grouped
from emsym.data.cards import load_card
from emsym.data.fetching.availability import require_data
from emsym.errors import UserError
from emsym.protocol import Protocol
from emsym.run.executors.local import LocalExecutor, Timed, WorkerDied
from emsym.run.job import jobs
from emsym.run.store.record import record_of
from emsym.run.store.store import Store
from emsym.run.workers import fork_server


def call(*words: object) -> str:
    return CliRunner().invoke(failures, [*map(str, words)], catch_exceptions=False).stdout


def fail(store: Path, protocol: Protocol, *errors: str) -> None:
    """Let the first cells of a store have failed with these errors."""
    records = Store(store / "records")
    for job, error in zip(jobs(protocol), errors, strict=False):
        records.path(job.key).unlink()
        records.save(record_of(job, status="failed", error=error))


def kind_of(protocol: Protocol, error: object) -> str:
    (group,) = grouped([record_of(jobs(protocol)[0], status="failed", error=str(error))])
    return group.kind


def test_cells_are_grouped_by_reason_with_what_to_do(store: Path, protocol: Protocol) -> None:
    slow = "it took longer than the --timeout of 5 s"
    odd = [f"ValueError: in {n}\nno layer {n} of those" for n in (3, 17)]
    fail(store, protocol, slow, *odd)
    text = call("--output", store)
    assert text.index("2 × no layer 3 of those") < text.index(f"1 × {slow}")
    assert f"To do: {KNOWN['timeout'][1]}." in text
    assert f"To do: {OTHER}." in text
    first = jobs(protocol)[0].cell
    assert f"    {first.dataset} · {first.architecture} · {first.init} · {first.seed}\n" in text
    again = f"emsym-bench run --all --retry-failed --output {store} --protocol tiny.toml"
    assert text.endswith(
        "Those of tiny again, and what is missing, with the path of its file (give each --plugin "
        f"that it had, too): {again}\n"
    )
    told = json.loads(call("--output", store, "--json"))
    assert [(each["kind"], each["count"]) for each in told["groups"]] == [
        ("other", 2),
        ("timeout", 1),
    ]
    assert [cell["error"] for cell in told["groups"][0]["cells"]] == odd


def test_what_has_been_finished_since_is_no_failure(store: Path, protocol: Protocol) -> None:
    job = jobs(protocol)[0]
    Store(store / "records").save(record_of(job, status="failed", error="x"))
    assert call("--output", store) == f"No cell failed in {store}.\n"
    assert json.loads(call("--output", store, "--json"))["groups"] == []


def test_a_folder_without_records_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no store at"):
        call("--output", tmp_path)


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        ((Timed(time.sleep, 0.2), 60), "timeout"),
        ((signal.raise_signal, signal.SIGKILL), "memory"),
        ((os._exit, 5), "crash"),
    ],
)
def test_how_a_worker_died_is_known(
    protocol: Protocol, monkeypatch: pytest.MonkeyPatch, deed: tuple, kind: str
) -> None:
    monkeypatch.setattr(fork_server, "LIBRARIES", ())
    with LocalExecutor(1) as executor, pytest.raises(WorkerDied) as died:
        executor.submit(*deed).result(timeout=60)
    assert kind_of(protocol, died.value) == kind


def test_data_that_is_not_here_is_known(
    protocol: Protocol, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMSYM_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError) as missing:
        require_data(load_card("snemi3d"))
    assert kind_of(protocol, missing.value) == "data"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("it took 5.1 GB of memory, more than the 4.0 GB of one worker: allow more", "memory"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "memory"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you", "memory"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("The weights 'resnet34' cannot be had, huggingface.co does not answer in time", "weights"),
        ("ArithmeticError: the loss is nan after 3 steps", "diverged"),
        ("it was stopped", "stopped"),
        ("RuntimeError: the hook it was stopped by", "other"),
        ("", "other"),
    ],
)
def test_errors_are_known_by_their_words(protocol: Protocol, error: str, kind: str) -> None:
    assert kind_of(protocol, error) == kind
