"""`recommend`: which strategy to take, by what is stored."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT


@cloup.command(
    epilog=examples(
        "emsym-bench recommend",
        "emsym-bench recommend --output results",
    )
)
@OUTPUT
def recommend(output: Path) -> None:
    """Say which strategies to take in which situation.

    Tests on the cells that are stored tell. A strategy is named that is shown to be less biased by
    every measure, that loses no Dice beyond the margin on any data set, and that no other such is
    shown to beat.
    """
    from emsym.leaderboard.board import boards
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.recommendation import recommend as recommended

    for board in boards(StoredResults(output).results):
        click.echo(f"{board.title}, {len(board.done)} cells:")
        for each in recommended(board):
            names = ", ".join(each.names) or "no strategy"
            click.echo(f"- {each.situation}: {names} ({each.reason}).")
