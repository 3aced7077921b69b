"""`leaderboard` and `compare`: what stored results come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from emsym.leaderboard.results import Results

OUTPUT = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the leaderboard and, in records/, of the records.",
)


@click.command()
@OUTPUT
@click.option(
    "--check", is_flag=True, help="Write nothing: is what is there what the records give?"
)
def leaderboard(output: Path, check: bool) -> int:
    """Write and print the leaderboard of what is stored."""
    from rich.console import Console

    from emsym.leaderboard.publish import outdated
    from emsym.leaderboard.stored import Stored

    stored = Stored(output)
    if check:
        if not (old := outdated(stored.results, output, stored.example, stored.credits)):
            click.echo(f"The leaderboard in {output} is what the records give.")
            return 0
        click.echo(
            f"{', '.join(old)} in {output}: not what the records give. `emsym-bench leaderboard` "
            "writes them again.",
            err=True,
        )
        return 1
    report(Console(), output, stored.results)
    return 0


@click.command()
@click.argument("one")
@click.argument("other")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to draw the differences; by default compare-ONE-OTHER.png in the output.",
)
@OUTPUT
def compare(one: str, other: str, plot: Path | None, output: Path) -> None:
    """Two strategies, or submissions, and by how much they differ."""
    import re

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from emsym.files import write_atomically
    from emsym.leaderboard import words
    from emsym.leaderboard.compare import compare as compared
    from emsym.leaderboard.compare import plot as drawn
    from emsym.leaderboard.stored import Stored

    found = compared(Stored(output).results, one, other)
    console = Console()
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    heads = ["score", one, other, "difference (95 % interval)", "p"]
    heads += ["Hedges' g", "cells above"] if console.width >= 100 else []
    for head in heads:
        side = "left" if head == "score" else "right"
        table.add_column(escape(head), justify=side, no_wrap=True)  # type: ignore[arg-type]
    for each in found.differences:
        row, digits = each.row, each.score.digits
        texts = [
            each.score.title,
            words.number(row["one"], digits),
            words.number(row["other"], digits),
            words.interval(row["mean"], row["low"], row["high"], digits),
            words.chance(row["p"]),
            words.number(row["effect"], 2),
            f"{100 * row['wins']:.0f} %",
        ]
        table.add_row(*texts[: len(heads)])
    console.print(
        f"{escape(found.where)}. Paired: {escape(other)} − {escape(one)}.", highlight=False
    )
    console.print(table)
    plain = [re.sub(r"[^\w.+-]", "_", name)[:60] for name in (one, other)]
    path = plot or output / f"compare-{plain[0]}-{plain[1]}.png"
    write_atomically(path, drawn(found))
    console.print(f"Plot: {path}", highlight=False, soft_wrap=True, markup=False)


def report(console: Any, output: Path, results: Results, fresh: bool = True) -> None:
    """Print the leaderboard of `results`; write that of the whole folder where it may be new."""
    from emsym.leaderboard.board import boards
    from emsym.leaderboard.publish import MARKDOWN, write
    from emsym.leaderboard.stored import Stored
    from emsym.leaderboard.terminal import show

    if fresh or not (output / "index.html").is_file():
        stored = Stored(output)
        write(stored.results, output, stored.example, stored.credits)
    show(boards(results), console)
    console.print()
    if (output / "records").is_dir():
        console.print(f"Records: {output / 'records'}", highlight=False, soft_wrap=True)
    console.print(
        f"Leaderboard: {output / MARKDOWN} and {output / 'index.html'}",
        highlight=False,
        soft_wrap=True,
    )
