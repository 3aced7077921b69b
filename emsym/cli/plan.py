"""`plan`: which cells a run would run, how long it takes and what it fills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from emsym.cli.cell_options import CELLS, MACHINE, chooses_cells
from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT, PLUGIN

if TYPE_CHECKING:
    from emsym.protocol import Protocol
    from emsym.run.estimate import Pair, Seen
    from emsym.run.job import Job
    from emsym.run.workers.devices import Devices


@cloup.command(
    epilog=examples(
        "emsym-bench plan",
        "emsym-bench plan --protocol micrographs --seed 0",
        "emsym-bench plan --calibrate --workers 2",
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
    *MACHINE,
)
@cloup.option_group("Output", OUTPUT)
@cloup.option_group("Your own code", PLUGIN)
def plan(
    calibrate: bool,
    workers: int | None,
    device: str,
    cells_per_gpu: int,
    plugins: tuple[Path, ...],
    output: Path,
    protocol_name: str,
    **selection: Any,
) -> None:
    """Tell what would run, what is stored, what failed, how long it takes and what it fills.

    How long is told by what the stored cells took, or by --calibrate where there are none.
    """
    from emsym.data.fetching.availability import locate_data
    from emsym.data.inspecting.card_text import download_size
    from emsym.errors import one_line
    from emsym.output_folder import OutputFolder
    from emsym.protocol import load_protocol
    from emsym.run import plan as planning
    from emsym.run.estimate import estimate, estimate_text, history
    from emsym.run.job import cards, jobs
    from emsym.run.store.store import Store
    from emsym.run.workers.capacity import cell_slots
    from emsym.run.workers.devices import Devices

    whole = load_protocol(protocol_name)
    protocol, store = whole.select(**selection), Store(OutputFolder(output).records)
    all_jobs = jobs(protocol)
    planned = planning.plan(all_jobs, store)
    words = {job.key: "to run" for job in planned.missing}
    words |= {job.key: "failed" for job in planned.failed}
    click.echo("\n".join(f"{words.get(job.key, 'stored')}  {job}" for job in all_jobs))
    for job in planned.failed:
        if (record := store.failure(job.key)) is not None:
            click.echo(one_line(f"failed: {job}: {record.error}"))
    for path in planned.damaged:
        click.echo(f"The record {path} is damaged: `run` sets it aside and runs its cell again.")
    for why in planning.wrong_shapes(protocol, plugins).values():
        click.echo(why)
    for note in planning.variant_notes(protocol):
        click.echo(note)
    failed = f", {len(planned.failed)} failed (--retry-failed)" if planned.failed else ""
    click.echo(f"{len(planned.stored)} stored, {len(planned.missing)} to run{failed}.")
    for card in cards(protocol).values():
        if locate_data(card) is None:
            click.echo(f"{card.name} is not on disk: `run` fetches it ({download_size(card)}).")
    if not planned.missing:
        return
    devices = Devices.parse(device, cells_per_gpu)
    stored = planned.stored
    if not stored and chooses_cells(selection):  # other cells of the protocol tell of these, too
        stored = planning.plan(jobs(whole), store).stored
    seen = history(stored, store)
    if calibrate:
        seen |= _calibrated(planned.missing, seen, devices, protocol, plugins)
    count = workers or cell_slots(devices, protocol.recipe.threads)
    click.echo(estimate_text(estimate(planned.missing, seen), count))


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
