"""`compare`: two strategies, or submissions, side by side."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT
from emsym.errors import UserError


@cloup.command(
    epilog=examples(
        "emsym-bench compare rgb uniform-green",
        "emsym-bench compare my-group emsym --plot differences.pdf",
    )
)
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

    from emsym import wording
    from emsym.files import write_atomically
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.compare import compare as compared
    from emsym.leaderboard.compare import plot as drawn
    from emsym.output_folder import OutputFolder

    kind = plot.suffix[1:].lower() if plot else "png"
    if kind not in ("png", "svg", "pdf"):
        raise UserError(f"--plot {plot}: name a file that ends in .png, .svg or .pdf.")
    comparison = compared(StoredResults(output).results, one, other)
    console = Console()
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    heads = ["score", one, other, "difference (95 % interval)", "p"]
    heads += ["cells above"] if console.width >= 100 else []
    for head in heads:
        side = "left" if head == "score" else "right"
        table.add_column(escape(head), justify=side, no_wrap=True)  # type: ignore[arg-type]
    for each in comparison.differences:
        row, digits = each.row, each.score.digits
        texts = [
            escape(each.score.title),
            wording.number(row["one"], digits),
            wording.number(row["other"], digits),
            wording.interval(row["mean"], row["low"], row["high"], digits),
            wording.p_value(row["p"]),
            wording.number(100 * row["above"], 0) + " %",
        ]
        table.add_row(*texts[: len(heads)])
    console.print(
        f"{escape(comparison.where)}. Paired: {escape(other)} − {escape(one)}.", highlight=False
    )
    console.print(table)
    plain = [re.sub(r"[^\w.+-]", "_", name)[:60] for name in (one, other)]
    path = plot or OutputFolder(output).comparison(*plain)
    write_atomically(path, drawn(comparison, kind))
    console.print(f"Plot: {path}", highlight=False, soft_wrap=True, markup=False)
