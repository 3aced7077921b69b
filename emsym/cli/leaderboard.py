"""`leaderboard`: what stored results come to is written and printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT

if TYPE_CHECKING:
    from rich.console import Console

    from emsym.leaderboard.board import Board
    from emsym.output_folder import OutputFolder


@cloup.command(
    epilog=examples(
        "emsym-bench leaderboard",
        "emsym-bench leaderboard --output results --check",
    )
)
@OUTPUT
@click.option(
    "--check", is_flag=True, help="Write nothing: is what is there what the records give?"
)
def leaderboard(output: Path, check: bool) -> int:
    """Write and print the leaderboard of what is stored."""
    from rich.console import Console

    from emsym.leaderboard.board import boards
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.render.publish import outdated, write_leaderboard
    from emsym.output_folder import OutputFolder

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
    made = boards(stored.results)
    write_leaderboard(stored.results, output, stored.example, stored.credits, leaderboards=made)
    print_leaderboard(Console(), OutputFolder(output), made)
    return 0


def print_leaderboard(console: Console, folder: OutputFolder, boards: list[Board]) -> None:
    """Print leaderboards, and where the records and the whole folder's leaderboard lie."""
    from emsym.leaderboard.render.terminal import print_boards

    print_boards(boards, console)
    console.print()
    if folder.records.is_dir():
        console.print(f"Records: {folder.records}", highlight=False, soft_wrap=True)
    console.print(
        f"Leaderboard: {folder.markdown} and {folder.page}", highlight=False, soft_wrap=True
    )
