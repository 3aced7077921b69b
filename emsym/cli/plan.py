"""`plan`: which cells a run would run, how long it takes and what it fills."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from emsym.cli.cell_options import CELLS, MACHINE, chooses_cells
from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json
from emsym.cli.options import OUTPUT, PLUGIN
from emsym.errors import one_line

if TYPE_CHECKING:
    from emsym.protocol import Protocol
    from emsym.run.estimate import Estimate, Pair, Seen
    from emsym.run.job import Job
    from emsym.run.plan import Plan
    from emsym.run.store.store import Store
    from emsym.run.workers.devices import Devices

LISTED = 100
"""Cells that are listed one by one; more are counted by data set and network."""


@cloup.command(
    epilog=examples(
        "emsym-bench plan",
        "emsym-bench plan --protocol micrographs --seed 0",
        "emsym-bench plan --calibrate --workers 2",
        "emsym-bench plan --protocol paper --tflops 20",
        "emsym-bench plan --json",
    )
)
@cloup.option_group("Which cells", *CELLS)
@cloup.option_group(
    "How long they take",
    click.option(
        "--calibrate",
        is_flag=True,
        help="Run some steps of each network on each data set, to tell how long it takes.",
    ),
    click.option(
        "--tflops",
        type=click.FloatRange(min=0, min_open=True),
        metavar="NUMBER",
        help="How many TFLOP/s a device sustains: how long it takes at least, by the operations.",
    ),
    *MACHINE,
)
@cloup.option_group("Output", OUTPUT, JSON)
@cloup.option_group("Your own code", PLUGIN)
def plan(
    calibrate: bool,
    tflops: float | None,
    workers: int | None,
    device: str,
    cells_per_gpu: int,
    plugins: tuple[Path, ...],
    output: Path,
    protocol_name: str,
    as_json: bool,
    **selection: Any,
) -> None:
    """Tell what would run, how long it takes and what it fills.

    What is stored, and what failed, is told, too.

    How long is told by what the stored cells took, or by --calibrate where there are none. For a
    machine that is not at hand, --tflops reckons it from the operations of training and scoring.
    """
    from emsym.data.fetching.availability import locate_data
    from emsym.data.inspecting.card_text import download_size
    from emsym.output_folder import OutputFolder
    from emsym.protocol import load_protocol
    from emsym.run import plan as planning
    from emsym.run.estimate import estimate, estimate_text, history
    from emsym.run.job import cards, jobs
    from emsym.run.store.store import Store
    from emsym.run.workers.capacity import cell_slots
    from emsym.run.workers.devices import Devices

    devices = Devices.parse(device, cells_per_gpu)
    whole = load_protocol(protocol_name)
    protocol, store = whole.select(**selection), Store(OutputFolder(output).records)
    all_jobs = jobs(protocol)
    planned = planning.plan(all_jobs, store)
    facts = {
        "protocol": protocol.name,
        "version": protocol.version,
        "output": output,
        "cells": _cells(all_jobs, planned, store),
        "damaged": planned.damaged,
        "notes": [
            *planning.wrong_shapes(protocol, plugins).values(),
            *planning.variant_notes(protocol),
        ],
        "to_fetch": [
            {"name": card.name, "download": download_size(card)}
            for card in cards(protocol).values()
            if locate_data(card) is None
        ],
    }
    if not as_json:
        click.echo("\n".join(_lines(facts, list(map(str, all_jobs)))))
    count, estimated, counted = None, None, None
    if planned.missing:
        stored = planned.stored
        if not stored and chooses_cells(selection):  # other cells of the protocol tell, too
            stored = planning.plan(jobs(whole), store).stored
        seen = history(stored, store)
        if calibrate:
            seen |= _calibrated(planned.missing, seen, devices, protocol, plugins)
        count = workers or cell_slots(devices, protocol.recipe.threads)
        estimated = estimate(planned.missing, seen)
        if not as_json and (estimated or not tflops):
            click.echo(estimate_text(estimated, count))
        if tflops:
            counted = _operations(planned.missing)
            if not as_json:
                click.echo(_operations_text(counted, tflops))
    if as_json:
        estimates = {"estimate": _in_numbers(estimated, count), "operations": counted}
        print_json(facts | {"workers": count, **estimates})


def _operations(missing: list[Job]) -> dict[str, float]:
    from emsym.run.operations import operations

    click.echo("Counting the operations of each network …", err=True)
    training, scoring = operations(missing)
    return {"training": training, "scoring": scoring}


def _operations_text(counted: dict[str, float], tflops: float) -> str:
    from emsym.wording import duration

    training, scoring = counted["training"], counted["scoring"]
    return (
        f"{training / 1e15:,.3f} PFLOP of training and {scoring / 1e15:,.3f} of scoring: on one "
        f"device that sustains {tflops:g} TFLOP/s about "
        f"{duration((training + scoring) / tflops / 1e12)}, and longer where it does not, or where "
        "strategies take second passes."
    )


def _cells(all_jobs: list[Job], planned: Plan, store: Store) -> list[dict[str, Any]]:
    """Return what each cell is, what has become of it, and why it failed where it did."""
    failures = {job.key: store.failure(job.key) for job in planned.failed}
    states = {job.key: "to run" for job in planned.missing} | dict.fromkeys(failures, "failed")
    return [
        {
            "key": job.key,
            "variant": job.variant or None,
            **job.cell._asdict(),
            "state": states.get(job.key, "stored"),
            "error": failure.error if (failure := failures.get(job.key)) else None,
        }
        for job in all_jobs
    ]


def _lines(facts: dict[str, Any], names: list[str]) -> list[str]:
    """Put what is planned into words; `names` are those of the cells."""
    cells = list(zip(names, facts["cells"], strict=True))
    listed = [f"{cell['state']}  {name}" for name, cell in cells]
    if len(cells) > LISTED:
        kinds = ("state", "variant", "dataset", "architecture")
        groups = Counter(tuple(cell[kind] for kind in kinds) for _, cell in cells)
        listed = [
            f"{state}  {number:>4} of {' · '.join(part for part in which if part)}"
            for (state, *which), number in groups.items()
        ]
    counts = Counter(cell["state"] for _, cell in cells)
    failed = f", {counts['failed']} failed (--retry-failed)" if counts["failed"] else ""
    return [
        *listed,
        *(one_line(f"failed: {name}: {cell['error']}") for name, cell in cells if cell["error"]),
        *(
            f"The record {path} is damaged: `run` sets it aside and runs its cell again."
            for path in facts["damaged"]
        ),
        *facts["notes"],
        f"{counts['stored']} stored, {counts['to run']} to run{failed}.",
        *(
            f"{data['name']} is not on disk: `run` fetches it ({data['download']})."
            for data in facts["to_fetch"]
        ),
    ]


def _in_numbers(estimated: Estimate | None, workers: int | None) -> dict[str, Any] | None:
    """Return an estimate as JSON has it: wall seconds and a 95 % interval, bytes of records."""
    if estimated is None or workers is None:
        return None
    middle, low, high = estimated.wall(workers)
    return {
        "seconds": middle,
        "low": low,
        "high": high,
        "bytes": round(estimated.bytes),
        "cells_seen": estimated.seen,
        "never_run": [
            {"dataset": dataset, "architecture": architecture}
            for dataset, architecture in sorted(estimated.unseen)
        ],
    }


def _calibrated(
    missing: list[Job],
    seen: dict[Pair, list[Seen]],
    devices: Devices,
    protocol: Protocol,
    plugins: tuple[Path, ...],
) -> dict[Pair, list[Seen]]:
    from rich.console import Console

    from emsym.run.benchmark import fetch_missing
    from emsym.run.calibrate import calibrate
    from emsym.run.display import RunDisplay
    from emsym.run.executors.base import Setup
    from emsym.run.executors.local import local

    fetch_missing(protocol, RunDisplay(Console(stderr=True)))
    with local(Setup(1, protocol.recipe.threads, plugins=plugins)) as pool:
        measured, failed = calibrate(
            missing, seen, pool, devices, lambda what: click.echo(f"Trying {what} …", err=True)
        )
    for (dataset, architecture), why in failed.items():
        click.echo(f"{dataset} · {architecture} cannot be run: {why}", err=True)
    return measured
