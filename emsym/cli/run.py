"""`run` and `plan`: the cells of a protocol."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emsym.cli.options import OUTPUT, PLUGIN
from emsym.errors import UserError

if TYPE_CHECKING:
    from emsym.protocol import Protocol
    from emsym.run.estimate import Pair, Seen
    from emsym.run.executors.devices import Devices
    from emsym.run.job import Job


_CELLS = [
    click.option(
        "--protocol", "protocol_name", default="quick", show_default=True, help="Name or TOML file."
    ),
    click.option("--dataset", "datasets", multiple=True, help="Only this one."),
    click.option("--architecture", "architectures", multiple=True, help="Only this one."),
    click.option(
        "--init",
        "inits",
        multiple=True,
        help="Only this one; any registered strategy.",
    ),
    click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), help="Only this one."),
    PLUGIN,
    OUTPUT,
]
_MACHINE = [
    click.option(
        "--workers",
        type=click.IntRange(1),
        help="Cells at once; by default as many as cores, memory or GPUs allow.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, mps, cuda, or some GPUs: cuda:0,1.",
    ),
    click.option(
        "--cells-per-gpu", type=click.IntRange(1), default=1, show_default=True, help="At once."
    ),
]


def _finite(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number to wait for or to fill.")
    return value


_LIMITS = [
    click.option(
        "--memory",
        type=click.FloatRange(0, min_open=True),
        callback=_finite,
        help="GB that one worker may hold; by default its share of the machine's.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        callback=_finite,
        help="Seconds after which a cell is ended; by default never.",
    ),
]


def _options(options: list[Callable]) -> Callable[[Callable], Callable]:
    def add(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every cell of the protocol.")
@click.option("--retry-failed", is_flag=True, help="Run again what failed earlier.")
@click.option("--offline", is_flag=True, help="Touch no network: say what is missing.")
@click.option(
    "--keep-networks",
    is_flag=True,
    help="Keep the weights of each network that is trained, as networks/KEY.pt in the output.",
)
@click.option(
    "--executor", default="local", show_default=True, help="`emsym-bench list executors`."
)
@click.option("--scheduler", help="Of dask: the address of a scheduler, tcp://…")
@click.option(
    "--cluster",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of dask: a TOML file that says how workers are asked for of a job queue.",
)
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="Write what happens here, too."
)
@_options(_MACHINE)
@_options(_LIMITS)
@_options(_CELLS)
def run(
    everything: bool,
    retry_failed: bool,
    offline: bool,
    keep_networks: bool,
    executor: str,
    scheduler: str | None,
    cluster: Path | None,
    log: Path | None,
    workers: int | None,
    device: str,
    cells_per_gpu: int,
    memory: float | None,
    timeout: float | None,
    plugins: tuple[Path, ...],
    output: Path,
    **choice: Any,
) -> int:
    """Train and score what is not stored yet, then rank.

    --dataset, --architecture, --init and --seed choose cells, and may be given several times.
    Data sets that are not on disk are fetched first. EMSYM_DATA_DIR moves the folder of what is
    fetched or made once per machine.

    Ctrl-C lets the cells that run be finished, a second one stops at once; the same command goes
    on from there. Exit code 1 says that some cells failed, each with its reason in its record.
    """
    from rich.console import Console

    from emsym.run.display import RunDisplay
    from emsym.run.estimate import expected, history
    from emsym.run.executors.base import Setup
    from emsym.run.executors.devices import Devices
    from emsym.run.executors.registry import EXECUTORS
    from emsym.run.executors.slots import cell_slots
    from emsym.run.job import jobs
    from emsym.run.plan import plan
    from emsym.run.runner import Outcome, run_jobs
    from emsym.run.store.store import Store

    start = time.perf_counter()
    chooses = _chooses(choice)
    if everything and chooses:
        raise UserError(
            "--all is every cell: leave it out to run those that --dataset, --architecture, --init "
            "and --seed choose."
        )
    if not everything and not chooses:
        raise UserError(
            "Say --all to run every cell, or choose some with --dataset, --architecture, --init "
            "or --seed."
        )
    opener, devices = EXECUTORS.get(executor), Devices.parse(device, cells_per_gpu)
    protocol = _select(**choice)
    store, console = Store(output / "records"), Console()
    _prepare(protocol, offline, console)
    all_jobs = jobs(protocol)
    planned = plan(all_jobs, store)
    for path in planned.damaged:
        store.set_aside(path, "it is cut short")
    chosen = planned.missing + (planned.failed if retry_failed else [])
    told = f"{len(planned.stored)} stored, {len(chosen)} to run"
    if planned.failed and not retry_failed:
        told += f", {len(planned.failed)} failed earlier (--retry-failed runs them again)"
    console.print(
        f"Protocol {protocol.name}, version {protocol.version}: {len(all_jobs)} cells, {told}.",
        highlight=False,
        soft_wrap=True,
    )
    outcome = Outcome()
    if chosen:
        console.print(protocol.description, style="dim", highlight=False, markup=False)
        networks = output / "networks" if keep_networks else None
        if networks is not None:
            networks.mkdir(parents=True, exist_ok=True)
        count = workers or (
            cell_slots(devices, protocol.recipe.threads) if executor == "local" else 1
        )
        with RunDisplay(console, log, len(planned.stored)) as watch:
            setup = Setup(
                workers=min(count, len(chosen)),
                threads=protocol.recipe.threads,
                memory=None if memory is None else int(memory * 1e9),
                plugins=plugins,
                notice=watch.note,
                scheduler=scheduler,
                cluster=cluster,
            )
            with opener(setup) as pool:
                outcome = run_jobs(
                    chosen,
                    store,
                    pool,
                    watch,
                    devices=devices,
                    networks=networks,
                    examples=output / "examples",
                    timeout=timeout,
                    cost=expected(history(planned.stored, store)),
                )
    finished = [record for record in outcome.records if record.status == "done"]
    earlier = store.records(job.key for job in [*planned.stored, *outcome.elsewhere])
    _report(console, [*earlier, *finished], output, fresh=bool(chosen))
    failures = {record.key: record for record in outcome.failed}
    if not retry_failed:
        earlier = store.records(job.key for job in planned.failed)
        failures |= {record.key: record for record in earlier}
    for record in (failures[job.key] for job in all_jobs if job.key in failures):
        name = f"{record.dataset.name} · {record.architecture} · {record.init} · {record.seed}"
        click.echo(f"failed: {name}: {record.error}", err=True)
    if chosen:
        times = "; ".join(f"{name} {value:.0f} s" for name, value in outcome.seconds.items())
        console.print(f"Wall time: {times}; in all {time.perf_counter() - start:.0f} s.")
    return 1 if failures else 0


@click.command()
@click.option(
    "--calibrate",
    is_flag=True,
    help="Run some steps of each network on each data set, to tell how long it takes.",
)
@_options(_MACHINE)
@_options(_CELLS)
def plan(
    calibrate: bool,
    workers: int | None,
    device: str,
    cells_per_gpu: int,
    plugins: tuple[Path, ...],
    output: Path,
    **choice: Any,
) -> None:
    """What would run, what is stored, what failed, how long it takes and what it fills.

    How long is told by what the stored cells took, or by --calibrate where there are none.
    """
    from emsym.data.fetching.availability import locate_data
    from emsym.data.inspecting.card_text import download_size
    from emsym.protocol import load_protocol
    from emsym.run import plan as planning
    from emsym.run.estimate import estimate, estimate_text, history
    from emsym.run.executors.devices import Devices
    from emsym.run.executors.slots import cell_slots
    from emsym.run.job import cards, jobs
    from emsym.run.store.store import Store

    protocol, store = _select(**choice), Store(output / "records")
    all_jobs = jobs(protocol)
    planned = planning.plan(all_jobs, store)
    words = {job.key: "to run" for job in planned.missing}
    words |= {job.key: "failed" for job in planned.failed}
    click.echo("\n".join(f"{words.get(job.key, 'stored')}  {job.cell}" for job in all_jobs))
    for path in planned.damaged:
        click.echo(f"The record {path} is damaged: `run` sets it aside and runs its cell again.")
    failed = f", {len(planned.failed)} failed (--retry-failed)" if planned.failed else ""
    click.echo(f"{len(planned.stored)} stored, {len(planned.missing)} to run{failed}.")
    for card in cards(protocol).values():
        if locate_data(card) is None:
            click.echo(f"{card.name} is not on disk: `run` fetches it ({download_size(card)}).")
    if not planned.missing:
        return
    devices = Devices.parse(device, cells_per_gpu)
    stored = planned.stored
    if not stored and _chooses(choice):  # other cells of the protocol tell of these, too
        stored = planning.plan(jobs(load_protocol(choice["protocol_name"])), store).stored
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

    from emsym.run.calibrate import calibrate
    from emsym.run.executors.base import Setup
    from emsym.run.executors.registry import local

    _prepare(protocol, False, Console(stderr=True))
    with local(Setup(1, protocol.recipe.threads, plugins=plugins)) as pool:
        found, failed = calibrate(
            missing, seen, pool, devices, lambda what: click.echo(f"Trying {what} …", err=True)
        )
    for (dataset, architecture), why in failed.items():
        click.echo(f"{dataset} · {architecture} cannot be run: {why}", err=True)
    return found


def _chooses(choice: dict[str, Any]) -> bool:
    """Whether some cells of the protocol are asked for, instead of all."""
    return any(choice[key] for key in ("datasets", "architectures", "inits", "seeds"))


def _select(
    protocol_name: str,
    datasets: tuple[str, ...],
    architectures: tuple[str, ...],
    inits: tuple[str, ...],
    seeds: tuple[int, ...],
) -> Protocol:
    from emsym.protocol import dataset_name, load_protocol

    protocol = load_protocol(protocol_name)
    known = {dataset_name(entry): entry for entry in protocol.datasets}
    entries = (
        # a path given here is relative to where the command is run, not to the protocol
        str(Path(name).resolve()) if name.endswith(".toml") else known.get(name, name)
        for name in datasets
    )
    return protocol.select(entries, architectures, inits, seeds)


def _prepare(protocol: Protocol, offline: bool, console: Any) -> None:
    """Fetch what the protocol's data sets lack; offline, say what that is."""
    from emsym.data.fetching.availability import locate_data
    from emsym.data.fetching.download_bar import DownloadBar
    from emsym.data.fetching.fetch import fetch
    from emsym.data.inspecting.card_text import terms
    from emsym.run.job import cards

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # what timm downloads weights with; workers inherit it
    for card in cards(protocol).values():
        if locate_data(card) is None:
            with DownloadBar(console) as bar:
                fetch(card, bar, offline=offline)
                bar.say(f"Fetched {'; '.join([card.name, *terms(card)])}")


def _report(console: Any, records: list, output: Path, fresh: bool) -> None:
    """Print the leaderboard of `records`; write that of the whole store where it may be new."""
    from emsym.cli.leaderboard import report
    from emsym.leaderboard.results import of_records

    if any(record.status == "done" for record in records):
        report(console, output, of_records(records), fresh)
    else:
        console.print(f"\nRecords: {output / 'records'}", highlight=False, soft_wrap=True)
