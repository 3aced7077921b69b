"""`leaderboard` and `compare`: what stored results come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emsym.cli.options import OUTPUT

if TYPE_CHECKING:
    from emsym.leaderboard.results import Results


@click.command()
@OUTPUT
@click.option(
    "--check", is_flag=True, help="Write nothing: is what is there what the records give?"
)
def leaderboard(output: Path, check: bool) -> int:
    """Write and print the leaderboard of what is stored."""
    from rich.console import Console

    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.render.publish import outdated

    stored = StoredResults(output)
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


def report(console: Any, output: Path, results: Results, fresh: bool = True) -> None:
    """Print the leaderboard of `results`; write that of the whole folder where it may be new."""
    from emsym.leaderboard.board import boards
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.render.publish import MARKDOWN, write_leaderboard
    from emsym.leaderboard.render.terminal import print_boards

    if fresh or not (output / "index.html").is_file():
        stored = StoredResults(output)
        write_leaderboard(stored.results, output, stored.example, stored.credits)
    print_boards(boards(results), console)
    console.print()
    if (output / "records").is_dir():
        console.print(f"Records: {output / 'records'}", highlight=False, soft_wrap=True)
    console.print(
        f"Leaderboard: {output / MARKDOWN} and {output / 'index.html'}",
        highlight=False,
        soft_wrap=True,
    )
