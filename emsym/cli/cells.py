"""`run` and `plan`: the cells of a protocol."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emsym.cli.leaderboard import OUTPUT
from emsym.cli.plugins import PLUGIN
from emsym.errors import UserError

if TYPE_CHECKING:
    from emsym.protocol import Protocol


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


def _cell_options(command: Callable) -> Callable:
    for option in reversed(_CELLS):
        command = option(command)
    return command


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every cell of the protocol.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes; by default as many as the cores."
)
@click.option("--offline", is_flag=True, help="Touch no network: say what is missing.")
@click.option(
    "--keep-networks",
    is_flag=True,
    help="Keep the weights of each network that is trained, as networks/KEY.pt in the output.",
)
@_cell_options
def run(
    everything: bool,
    workers: int | None,
    offline: bool,
    keep_networks: bool,
    plugins: tuple[Path, ...],
    output: Path,
    **choice: Any,
) -> int:
    """Train and score what is not stored yet, then rank.

    --dataset, --architecture, --init and --seed choose cells, and may be given several times.
    Data sets that are not on disk are fetched first. EMSYM_DATA_DIR moves the folder of what is
    fetched or made once per machine.
    """
    from rich.console import Console

    from emsym.run.plan import jobs, split_stored
    from emsym.run.progress import Bar
    from emsym.run.runner import default_workers, run_jobs
    from emsym.run.store import Store

    start = time.perf_counter()
    if everything == any(choice[key] for key in ("datasets", "architectures", "inits", "seeds")):
        raise UserError(
            "Say --all to run every cell, or choose some with --dataset, --architecture, --init "
            "or --seed."
        )
    protocol = _select(**choice)
    store = Store(output / "records")
    console = Console()
    _prepare(protocol, offline, console)
    all_jobs = jobs(protocol)
    stored, missing = split_stored(all_jobs, store)
    console.print(
        f"Protocol {protocol.name}, version {protocol.version}: {len(all_jobs)} cells, "
        f"{len(stored)} stored, {len(missing)} to run.",
        highlight=False,
    )
    if missing:
        console.print(protocol.description, style="dim", highlight=False, markup=False)
    networks = output / "networks" if keep_networks else None
    if networks is not None:
        networks.mkdir(parents=True, exist_ok=True)
    count = workers or default_workers(protocol.recipe.threads)
    with Bar(console) as bar:
        outcome = run_jobs(missing, store, bar, count, plugins, networks)
    done = [record for record in outcome.records if record.status == "done"]
    _report(console, [*stored, *done], output, fresh=bool(missing))
    for record in outcome.failed:
        name = f"{record.dataset.name} · {record.architecture} · {record.init} · {record.seed}"
        click.echo(f"failed: {name}: {record.error}", err=True)
    if missing:
        times = "; ".join(f"{name} {value:.0f} s" for name, value in outcome.seconds.items())
        console.print(f"Wall time: {times}; in all {time.perf_counter() - start:.0f} s.")
    return 1 if outcome.failed else 0


@click.command()
@_cell_options
def plan(plugins: tuple[Path, ...], output: Path, **choice: Any) -> None:
    """What would run, what is stored, and how long."""
    from emsym.data.describe import download_size
    from emsym.data.fetch import locate
    from emsym.run.plan import cards, jobs, split_stored
    from emsym.run.runner import default_workers
    from emsym.run.store import Store

    protocol = _select(**choice)
    all_jobs = jobs(protocol)
    stored, missing = split_stored(all_jobs, Store(output / "records"))
    keys = {job.key for job in missing}
    for job in all_jobs:
        click.echo(f"{'to run' if job.key in keys else 'stored'}  {job.cell}")
    click.echo(f"{len(stored)} stored, {len(missing)} to run.")
    for card in cards(protocol).values():
        if locate(card) is None:
            click.echo(f"{card.name} is not on disk: `run` fetches it ({download_size(card)}).")
    if missing and stored:
        workers = default_workers(protocol.recipe.threads)
        mean = sum(sum(record.seconds.values()) for record in stored) / len(stored)
        click.echo(
            f"About {mean * len(missing) / workers:.0f} s with {workers} workers, at the "
            f"{mean:.1f} s that a stored cell took."
        )
    elif missing:
        click.echo("How long is not known before the first cell is done.")


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
    from emsym.data.describe import terms
    from emsym.data.fetch import fetch, locate
    from emsym.data.progress import DownloadBar
    from emsym.run.plan import cards

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # what timm downloads weights with; workers inherit it
    for card in cards(protocol).values():
        if locate(card) is None:
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
