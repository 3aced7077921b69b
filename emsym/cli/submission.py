"""`submit`, `validate` and `verify`: results that go to, or come from, somebody else."""

from pathlib import Path

import click

from emsym.cli.plugins import PLUGIN

_PATH = click.argument("path", type=click.Path(file_okay=False, path_type=Path))
_PROTOCOL = click.option(
    "--protocol", "protocol_name", help="TOML file of a protocol that does not ship with emsym."
)
SUBMISSIONS = Path("results") / "submissions"


@click.command()
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder that `run --output` named.",
)
@click.option("--name", required=True, help="Of the submission: small letters, digits, hyphens.")
@click.option(
    "--protocol", "protocol_name", default="quick", show_default=True, help="Name or TOML file."
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A plug-in file to go with the submission; it is not run.",
)
def submit(store: Path, name: str, protocol_name: str, plugins: tuple[Path, ...]) -> None:
    """Pack the finished cells of a protocol for the leaderboard."""
    from emsym.leaderboard.submission.folder import SHEET, check_name
    from emsym.leaderboard.submission.pack import pack
    from emsym.protocol import list_protocols, load_protocol

    folder = SUBMISSIONS / check_name(name)
    again = (folder / SHEET).is_file()
    pack(store, load_protocol(protocol_name), folder, plugins)
    more = "" if protocol_name in list_protocols() else f" --protocol {protocol_name}"
    click.echo(
        f"Packed {folder}. {'See that' if again else 'Fill in'} {folder / SHEET}"
        f"{' is still right' if again else ''}, then: emsym-bench validate {folder}{more}"
    )


@click.command()
@_PATH
@_PROTOCOL
def validate(path: Path, protocol_name: str | None) -> None:
    """Check a submission, without running anything of it."""
    from emsym.leaderboard.submission.validate import validate

    report = validate(path, protocol_name)
    protocol, counts = report.protocol, report.counts
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    click.echo(
        f"{path} is sound: {protocol.name}, version {protocol.version}; cells: {told}; scores "
        f"computed again from the values of {report.sections:,} sections."
    )
    for note in report.notes:
        click.echo(f"note: {note}")


@click.command()
@_PATH
@click.option("--sample", type=click.IntRange(1), required=True, help="How many cells to run.")
@_PROTOCOL
@PLUGIN
def verify(path: Path, sample: int, protocol_name: str | None, plugins: tuple[Path, ...]) -> int:
    """Run a sample of a submission's cells again, and compare.

    Which cells is decided by a digest of the submission. Code of its authors is run only where you
    give its file with --plugin: read it first.
    """
    from rich.console import Console

    from emsym.leaderboard.submission.verify import verify
    from emsym.run.watch import Watch

    console = Console()
    with Watch(console) as watch:
        found = verify(path, sample, watch, protocol_name, plugins)
    for each in found:
        if not each.beyond:
            worst = max(each.differences, key=lambda one: one.apart / max(one.allowed, 1e-12))
            click.echo(
                f"{each.cell}: "
                + (
                    f"as claimed, within the tolerance; furthest is {worst.score}, by "
                    f"{worst.apart:.2g} of {worst.allowed:.2g}."
                    if worst.apart
                    else "every score is exactly as claimed."
                )
            )
        for one in each.beyond:
            click.echo(
                f"{each.cell}: {one.score} is {one.found:.6g} here, and {one.claimed:.6g} is "
                f"claimed: {one.apart:.2g} apart, {one.allowed:.2g} allowed.",
                err=True,
            )
    wrong = sum(bool(each.beyond) for each in found)
    click.echo(f"{len(found) - wrong} of {len(found)} cells that were run again are as claimed.")
    return 1 if wrong else 0
