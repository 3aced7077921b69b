"""`leaderboard`: what stored results come to is written and printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json
from emsym.cli.options import OUTPUT

if TYPE_CHECKING:
    from rich.console import Console

    from emsym.leaderboard.board import Board
    from emsym.output_folder import OutputFolder


@cloup.command(
    epilog=examples(
        "emsym-bench leaderboard",
        "emsym-bench leaderboard --output results --check",
        "emsym-bench leaderboard --json",
    )
)
@OUTPUT
@click.option(
    "--check", is_flag=True, help="Write nothing: is what is there what the records give?"
)
@JSON
def leaderboard(output: Path, check: bool, as_json: bool) -> int:
    """Write and print the leaderboard of what is stored."""
    from rich.console import Console

    from emsym.leaderboard.board import boards
    from emsym.leaderboard.board_facts import board_facts
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.render.publish import outdated, write_leaderboard
    from emsym.output_folder import OutputFolder

    stored = StoredResults(output)
    if check:
        old = outdated(stored.results, output, stored.example, stored.credits)
        if as_json:
            print_json({"output": output, "outdated": old})
            return 1 if old else 0
        if not old:
            click.echo(f"The leaderboard in {output} is what the records give.")
            return 0
        click.echo(
            f"{', '.join(old)} in {output}: not what the records give. `emsym-bench leaderboard "
            f"--output {output}` writes them again.",
            err=True,
        )
        return 1
    made = boards(stored.results)
    write_leaderboard(stored.results, output, stored.example, stored.credits, leaderboards=made)
    folder = OutputFolder(output)
    if as_json:
        files = {
            "markdown": folder.markdown,
            "page": folder.page,
            "scores": folder.scores_table,
            "cells": folder.cells_table,
        }
        print_json({"output": output, "files": files, "boards": list(map(board_facts, made))})
    else:
        print_leaderboard(Console(), folder, made)
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
