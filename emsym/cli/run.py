"""`run`: the cells of a protocol are trained, scored, stored and ranked."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from emsym.cli.cell_options import CELLS, MACHINE, chooses_cells
from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT, PLUGIN, load_plugins
from emsym.errors import UserError, one_line

if TYPE_CHECKING:
    from emsym.run.store.record import Record

FAILURES = 10
"""The most failed cells that are named at the end of a run."""


def _finite(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number to wait for or to fill.")
    return value


_LIMITS = (
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
)


class _RunCommand(cloup.Command):
    """A command that also takes the options of executors, those of plug-in files included."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """List all parameters; those of executors follow ``--executor``, in its group."""
        params = super().get_params(ctx)
        at = 1 + [param.name for param in params].index("executor")
        more = list(map(_click_option, _executor_options()))
        (group,) = (each for each in self.option_groups if params[at - 1] in each.options)
        params[at:at] = more
        group.options = [
            param
            for param in params
            if isinstance(param, click.Option) and param in (*group.options, *more)
        ]
        return params

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Load plug-ins before anything is parsed, as they may bring executors with options."""
        given = (Path(value) for flag, value in pairwise(args) if flag == "--plugin")
        if paths := [path for path in given if path.is_file()]:
            load_plugins(ctx, paths)
        return super().parse_args(ctx, args)


def _executor_options() -> list[Any]:
    from emsym.run.executors.registry import executor_options

    return executor_options()


def _click_option(option: Any) -> click.Option:
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    kind = path if option.type is Path else option.type
    return click.Option([f"--{option.name}", option.name], type=kind, help=option.help)


@cloup.command(
    cls=_RunCommand,
    epilog=examples(
        "emsym-bench run --all",
        "emsym-bench run --dataset phantom-neurites-2 --init rgb --init uniform-green",
        "emsym-bench run --all --retry-failed --workers 1 --timeout 3600",
    ),
)
@cloup.option_group(
    "Which cells",
    click.option("--all", "everything", is_flag=True, help="Every cell; with --seed, of that."),
    *CELLS,
    click.option("--retry-failed", is_flag=True, help="Run again what failed earlier."),
)
@cloup.option_group(
    "Where they run",
    click.option(
        "--executor", default="local", show_default=True, help="`emsym-bench list executors`."
    ),
    *MACHINE,
)
@cloup.option_group(
    "Limits",
    *_LIMITS,
    click.option("--offline", is_flag=True, help="Touch no network: say what is missing."),
)
@cloup.option_group(
    "Output",
    OUTPUT,
    click.option(
        "--keep-networks",
        is_flag=True,
        help="Keep the weights of each network that is trained, as networks/KEY.pt in the output.",
    ),
    click.option(
        "--training-log",
        is_flag=True,
        help="Write the loss and learning rate of each step, as training/KEY.csv in the output, "
        "and for TensorBoard where it is installed.",
    ),
    click.option(
        "--log",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write what happens here, too.",
    ),
)
@cloup.option_group("Your own code", PLUGIN)
def run(
    everything: bool, log: Path | None, protocol_name: str, output: Path, **options: Any
) -> int:
    """Train and score what is not stored yet, then rank.

    --dataset, --architecture, --init and --seed choose cells, and may be given several times.
    Data sets that are not on disk are fetched first. EMSYM_DATA_DIR moves the folder of what is
    fetched or made once per machine.

    Ctrl-C lets the cells that run be finished, a second one stops at once; the same command goes
    on from there. Exit code 1 says that some cells failed, each with its reason in its record.
    """
    from rich.console import Console

    from emsym.leaderboard.render.terminal import print_results
    from emsym.output_folder import OutputFolder
    from emsym.run.benchmark import run_benchmark
    from emsym.run.display import RunCommandDisplay
    from emsym.run.store.store import Store

    start = time.perf_counter()
    chooses = chooses_cells(options)
    if everything and any(options[key] for key in ("datasets", "architectures", "inits")):
        raise UserError(
            "--all is every cell, or with --seed every cell of these seeds: leave it out to run "
            "those that --dataset, --architecture and --init choose."
        )
    if not everything and not chooses:
        raise UserError(
            "Say --all to run every cell, or choose some with --dataset, --architecture, --init "
            "or --seed."
        )
    given = {option.name: options.pop(option.name) for option in _executor_options()}
    given = {name: value for name, value in given.items() if value is not None}
    console = Console()
    with RunCommandDisplay(console, log) as display:
        result = run_benchmark(
            protocol_name, output, **options, executor_options=given, listener=display
        )
        if result.seconds:
            times = "; ".join(f"{name} {value:.0f} s" for name, value in result.seconds.items())
            display.log(f"wall time: {times}; in all {time.perf_counter() - start:.0f} s")
    for line in _failures(result.failed, output):
        click.echo(line, err=True)
    folder, boards = OutputFolder(output), result.boards
    print_results(boards, console)
    console.print()
    stored = Store(folder.records).contents(look=False).done
    of_more = boards and len(stored) > len(result.done) + len(result.stored)
    all_stored = f" of all {len(stored)} stored cells" if chooses and of_more else ""
    if boards:
        pages = f"Leaderboard{all_stored}: {folder.page} and {folder.markdown}"
        console.print(pages, highlight=False, soft_wrap=True)
    console.print(f"Records: {folder.records}", highlight=False, soft_wrap=True)
    return 1 if result.failed else 0


def _failures(failed: Sequence[Record], output: Path) -> list[str]:
    """Say of the first failed cells why, and how many more there are."""
    lines = [
        one_line(
            f"failed: {each.dataset.name} · {each.architecture} · {each.init} · {each.seed}: "
            f"{each.error}"
        )
        for each in failed[:FAILURES]
    ]
    if len(failed) > FAILURES:
        more = f"and {len(failed) - FAILURES} more failed"
        lines.append(f"{more}: `emsym-bench failures --output {output}` says why")
    return lines
