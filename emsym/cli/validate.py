"""`validate`: a submission is checked, and nothing of it is run."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import SUBMISSION_PATH, SUBMISSION_PROTOCOL


@cloup.command(
    epilog=examples(
        "emsym-bench validate results/submissions/my-group",
        "emsym-bench validate results/submissions/my-group --protocol protocol.toml",
    )
)
@SUBMISSION_PATH
@SUBMISSION_PROTOCOL
def validate(path: Path, protocol_name: str | None) -> None:
    """Check a submission, without running anything of it."""
    from emsym.submission.validate import validate

    report = validate(path, protocol_name)
    protocol, counts = report.protocol, report.counts
    cells = ", ".join(f"{count} {status}" for status, count in counts.items())
    click.echo(
        f"{path} is sound: {protocol.name}, version {protocol.version}; cells: {cells}; scores "
        f"computed again from the values of {report.sections:,} sections."
    )
    click.echo(f"assurance: {report.assurance}: {report.assurance.meaning}.")
    for note in report.notes:
        click.echo(f"note: {note}")
