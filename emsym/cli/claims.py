"""`claims`: what stored cells say of the claims about slice bias."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import BOARDS_OF, OUTPUT


@cloup.command(
    epilog=examples(
        "emsym-bench claims --protocol micrographs",
        "emsym-bench claims --output results --file claims.toml",
    )
)
@BOARDS_OF
@OUTPUT
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of claims; those that ship with emsym by default.",
)
def claims(output: Path, path: Path | None, protocol_name: str | None) -> None:
    """Say of each claim whether it holds, by the stored cells.

    It held, failed or is undecided. Of what is undecided it says about how many seeds would decide
    it. What is in brackets stands beside, and decides nothing.
    """
    from emsym.leaderboard import claims

    for title, verdicts in claims.claims(output, path, protocol=protocol_name).items():
        click.echo(f"{title}:")
        for judged in verdicts:
            click.echo(f"({judged.claim.id}) {judged.claim.sentence} {judged.verdict.upper()}.")
            for what, finding in judged.findings.items():
                click.echo(f"    {what + ': ' if what else ''}{finding.text}")
            if judged.power:
                click.echo(f"    {judged.power}")
