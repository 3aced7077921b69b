"""emsym-bench, the command line: words in, calls to the rooms, one plain sentence when wrong.

Everything slow is imported where it is used, so that help and mistakes answer at once.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emsym.errors import UserError

if TYPE_CHECKING:
    from emsym.protocol import Protocol

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit: 0 done, 1 some cells failed, 2 a mistake, 130 Ctrl-C."""
    warnings.showwarning = _one_line
    debug = "--debug" in sys.argv
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except UserError as error:
        if debug:
            raise
        click.echo(f"emsym-bench: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\nStopped. Every finished record is kept: the same command goes on from here.",
            err=True,
        )
        sys.exit(INTERRUPTED)


def _one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"emsym-bench: {message}", err=True)


def _plugins(_: click.Context, __: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    from emsym.models.architectures import ARCHITECTURES
    from emsym.models.inits import INITS
    from emsym.registry import load_plugin

    return tuple(path for path in paths if load_plugin(path, [ARCHITECTURES, INITS]))


_PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_plugins,
    is_eager=True,
    help="A Python file that registers strategies or architectures.",
)
_OUTPUT = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the leaderboard and, in records/, of the records.",
)
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
    _PLUGIN,
    _OUTPUT,
]


def _cell_options(command: Callable) -> Callable:
    for option in reversed(_CELLS):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of a mistake.")
@click.version_option(package_name="emsym")
def cli(debug: bool) -> None:
    """Benchmark: does a 2.5D network treat the slices on either side alike?

    Start with: emsym-bench run --all
    """


@cli.command()
@click.option("--all", "everything", is_flag=True, help="Every cell of the protocol.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes; by default as many as the cores."
)
@_cell_options
def run(
    everything: bool,
    workers: int | None,
    plugins: tuple[Path, ...],
    output: Path,
    **choice: Any,
) -> int:
    """Train and score what is not stored yet, then rank.

    --dataset, --architecture, --init and --seed choose cells, and may be given several times.
    EMSYM_DATA_DIR moves the folder of what is made once per machine.
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
    all_jobs = jobs(protocol)
    stored, missing = split_stored(all_jobs, store)
    console = Console()
    console.print(
        f"Protocol {protocol.name}, version {protocol.version}: {len(all_jobs)} cells, "
        f"{len(stored)} stored, {len(missing)} to run.",
        highlight=False,
    )
    if missing:
        console.print(protocol.description, style="dim", highlight=False, markup=False)
    count = workers or default_workers(protocol.recipe.threads)
    with Bar(console) as bar:
        outcome = run_jobs(missing, store, bar, count, plugins)
    done = [record for record in outcome.records if record.status == "done"]
    _report(console, [*stored, *done], output, fresh=bool(missing))
    for record in outcome.failed:
        name = f"{record.dataset.name} · {record.architecture} · {record.init} · {record.seed}"
        click.echo(f"failed: {name}: {record.error}", err=True)
    if missing:
        times = "; ".join(f"{name} {value:.0f} s" for name, value in outcome.seconds.items())
        console.print(f"Wall time: {times}; in all {time.perf_counter() - start:.0f} s.")
    return 1 if outcome.failed else 0


@cli.command()
@_cell_options
def plan(plugins: tuple[Path, ...], output: Path, **choice: Any) -> None:
    """What would run, what is stored, and how long."""
    from emsym.run.plan import jobs, split_stored
    from emsym.run.runner import default_workers
    from emsym.run.store import Store

    protocol = _select(**choice)
    all_jobs = jobs(protocol)
    stored, missing = split_stored(all_jobs, Store(output / "records"))
    keys = {job.key for job in missing}
    for job in all_jobs:
        click.echo(f"{'to run' if job.key in keys else 'stored'}  {job.cell}")
    click.echo(f"{len(stored)} stored, {len(missing)} to run.")
    if missing and stored:
        workers = default_workers(protocol.recipe.threads)
        mean = sum(sum(record.seconds.values()) for record in stored) / len(stored)
        click.echo(
            f"About {mean * len(missing) / workers:.0f} s with {workers} workers, at the "
            f"{mean:.1f} s that a stored cell took."
        )
    elif missing:
        click.echo("How long is not known before the first cell is done.")


@cli.command("list")
@click.argument("what", type=click.Choice(["datasets", "architectures", "inits", "protocols"]))
@click.argument("pattern", default="*")
@_PLUGIN
def list_(what: str, pattern: str, plugins: tuple[Path, ...]) -> None:
    """Names that may be used, all or those like PATTERN."""
    from fnmatch import fnmatch

    found = [(name, summary) for name, summary in _named(what) if fnmatch(name, pattern)]
    if not found:
        raise UserError(f"None of the {what} matches '{pattern}'.")
    width = max(len(name) for name, _ in found) + 2
    for name, summary in found:
        click.echo(f"{name:<{width}}{summary}".rstrip())
    if what == "architectures":
        click.echo(
            "Any other encoder of segmentation-models-pytorch works, and after 'tu-' any of timm."
        )


@cli.command()
@_OUTPUT
def leaderboard(output: Path) -> None:
    """Write and print the leaderboard of what is stored."""
    from rich.console import Console

    from emsym.run.store import Store

    records = list(Store(output / "records").records())
    if not any(record.status == "done" for record in records):
        raise UserError(
            f"There are no finished records in {output / 'records'}: make some with "
            "`emsym-bench run --all`, or name their folder with --output."
        )
    _report(Console(), records, output, fresh=True)


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


def _report(console: Any, records: list, output: Path, fresh: bool) -> None:
    """Print the leaderboard of `records`; write that of the whole store where it may be new."""
    from emsym.leaderboard.render import show, write
    from emsym.run.store import Store

    show(records, console)
    paths = [output / "leaderboard.md", output / "leaderboard.csv"]
    if fresh or not all(path.is_file() for path in paths):
        paths = write(list(Store(output / "records").records()), output)
    console.print(f"\nRecords: {output / 'records'}", highlight=False, soft_wrap=True)
    console.print(f"Leaderboard: {' and '.join(map(str, paths))}", highlight=False, soft_wrap=True)


def _named(what: str) -> list[tuple[str, str]]:
    from emsym.data.cards import list_cards, load_card
    from emsym.models.architectures import ARCHITECTURES
    from emsym.models.inits import INITS
    from emsym.protocol import list_protocols, load_protocol

    if what == "datasets":
        return [(name, load_card(name).title) for name in list_cards()]
    if what == "protocols":
        return [(name, load_protocol(name).description) for name in list_protocols()]
    registry: Any = INITS if what == "inits" else ARCHITECTURES
    return [(name, registry.summary(name)) for name in registry.names()]
