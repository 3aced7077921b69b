"""`figures`: the paper's figures and table, of the cells that are stored."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT


@cloup.command(
    epilog=examples(
        "emsym-bench figures",
        "emsym-bench figures --output results --to paper",
    )
)
@OUTPUT
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write; figures/ in that of the leaderboard by default.",
)
def figures(output: Path, folder: Path | None) -> None:
    """Draw the paper's figures and table of what is stored.

    Figures are SVG and PDF. They show sections of the data: its licence says whether they may be
    passed on.
    """
    from emsym.errors import UserError
    from emsym.files import write_atomically
    from emsym.leaderboard.board import boards
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.render.paper_figures import (
        FORMATS,
        draw_paper_figures,
        figure_bytes,
        paper_tables,
    )

    stored = StoredResults(output)
    folder = folder or output / "figures"
    drawn = 0
    for board in boards(stored.results):
        place = folder / board.stem
        made = draw_paper_figures(board, stored.example)
        for name, figure in made.items():
            for kind in FORMATS:
                write_atomically(place / f"{name}.{kind}", figure_bytes(figure, kind))
        for kind, text in paper_tables(board).items():
            write_atomically(place / f"table.{kind}", text.encode())
        drawn += len(made)
        licences = sorted(set(board.done["licence"]))
        click.echo(f"{board.title}: {len(made)} figures and the table in {place}")
        click.echo(f"  The data's licences: {'; '.join(licences)}.")
    if not drawn:
        raise UserError(
            "No section was kept to look at, so that there is nothing to draw: cells that are run "
            "keep one each in examples/; a submission keeps a few."
        )
