"""Options of the commands that run or plan cells: which cells, and where they run."""

from typing import Any

import click

CELLS = (
    click.option(
        "--protocol", "protocol_name", default="quick", show_default=True, help="Name or TOML file."
    ),
    click.option("--dataset", "datasets", multiple=True, help="Only this data set."),
    click.option("--architecture", "architectures", multiple=True, help="Only this network."),
    click.option(
        "--init",
        "inits",
        multiple=True,
        help="Only this strategy: any of `emsym-bench list inits`.",
    ),
    click.option("--seed", "seeds", multiple=True, type=click.IntRange(0), help="Only this seed."),
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
        "--cells-per-gpu",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Cells at once on each GPU.",
    ),
)


def chooses_cells(selection: dict[str, Any]) -> bool:
    """Return whether some cells of the protocol are asked for, instead of all."""
    return any(selection[key] for key in ("datasets", "architectures", "inits", "seeds"))
