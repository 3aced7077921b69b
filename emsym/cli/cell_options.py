"""Options of the commands that run or plan cells: which cells, and on which machine."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from emsym.cli.options import OUTPUT, PLUGIN

CELLS = (
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
)
MACHINE = (
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
)


def add_options(options: Sequence[Callable]) -> Callable[[Callable], Callable]:
    """Decorate a command with options, which its help lists in this order."""

    def add(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def chooses_cells(selection: dict[str, Any]) -> bool:
    """Return whether some cells of the protocol are asked for, instead of all."""
    return any(selection[key] for key in ("datasets", "architectures", "inits", "seeds"))
