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
    from emsym.leaderboard.collection import StoredResults
    from emsym.output_folder import OutputFolder


@cloup.command(
    epilog=examples(
        "emsym-bench leaderboard",
        "emsym-bench leaderboard --output results --check",
        "emsym-bench leaderboard --json",
        "emsym-bench leaderboard --every-eval-ever every-eval-ever",
    )
)
@OUTPUT
@click.option(
    "--check", is_flag=True, help="Write nothing: is what is there what the records give?"
)
@click.option(
    "--every-eval-ever",
    "export",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the cells there as records of Every Eval Ever, and no leaderboard.",
)
@JSON
def leaderboard(output: Path, check: bool, export: Path | None, as_json: bool) -> int:
    """Write and print the leaderboard of what is stored."""
    from rich.console import Console

    from emsym.leaderboard.board import boards
    from emsym.leaderboard.board_facts import board_facts
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.render.publish import outdated, write_leaderboard
    from emsym.output_folder import OutputFolder

    if check and export:
        raise click.UsageError("--check writes nothing: leave out one of it and --every-eval-ever.")
    stored = StoredResults(output)
    if export:
        _export(stored, export, as_json)
        return 0
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


def _export(stored: StoredResults, folder: Path, as_json: bool) -> None:
    import time

    from emsym.leaderboard.every_eval_ever import write_records
    from emsym.wording import counted

    files = write_records(stored, folder, time.time())
    if as_json:
        print_json({"folder": folder, "files": files})
        return
    left = len(stored.results.cells) - len(files)
    click.echo(
        f"Wrote {counted(len(files), 'record')} of Every Eval Ever into {folder}"
        + (
            f"; {counted(left, 'failed cell')} {'has' if left == 1 else 'have'} none."
            if left
            else "."
        )
    )


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
