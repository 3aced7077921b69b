"""`compare`: two strategies, or submissions, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json
from emsym.cli.options import BOARDS_OF, OUTPUT
from emsym.errors import UserError

if TYPE_CHECKING:
    from emsym.leaderboard.compare import Comparison


@cloup.command(
    epilog=examples(
        "emsym-bench compare rgb uniform-green",
        "emsym-bench compare rgb uniform-green --protocol quick",
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
@BOARDS_OF
@OUTPUT
@JSON
def compare(
    one: str,
    other: str,
    plot: Path | None,
    protocol_name: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """Two strategies, or submissions, and by how much they differ.

    The cells are those of one protocol, which the first line names. Of several, it is the one with
    the most cells of both strategies, or the first that both submissions have, unless --protocol
    says which.
    """
    import re

    from emsym.files import write_atomically
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.compare import compare as compared
    from emsym.leaderboard.compare import plot as drawn
    from emsym.output_folder import OutputFolder

    kind = plot.suffix[1:].lower() if plot else "png"
    if kind not in ("png", "svg", "pdf"):
        raise UserError(f"--plot {plot}: name a file that ends in .png, .svg or .pdf.")
    comparison = compared(StoredResults(output).results, one, other, protocol_name)
    if not as_json:
        _print_table(comparison)
    plain = [re.sub(r"[^\w.+-]", "_", name)[:60] for name in (one, other)]
    path = plot or OutputFolder(output).comparison(*plain)
    write_atomically(path, drawn(comparison, kind))
    if as_json:
        print_json(_document(comparison) | {"plot": path})
    else:
        click.echo(f"Plot: {path}")


def _print_table(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from emsym import wording

    one, other = comparison.one, comparison.other
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


def _document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON has it: of each score both means, and the second less the first.

    `low` and `high` are the ends of the 95 % interval of the difference, `above` the part of the
    cells in which it is above 0, and `pairs` the differences of single pairs.
    """
    scores = []
    for each in comparison.differences:
        row = each.row.to_dict()
        facts = {
            "key": each.key,
            "title": each.score.title,
            "better": each.score.better,
            "one": row["one"],
            "other": row["other"],
            "difference": row["mean"],
            **{name: row[name] for name in ("low", "high", "p", "above")},
            "pairs": [
                {
                    "dataset": dataset,
                    "architecture": architecture,
                    **values.rename({"mean": "difference"}).to_dict(),
                }
                for (dataset, architecture), values in each.pairs.iterrows()
            ],
        }
        scores.append(facts)
    return {
        "one": comparison.one,
        "other": comparison.other,
        "where": comparison.where,
        "scores": scores,
    }
