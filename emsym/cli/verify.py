"""`verify`: some cells of a submission are run again."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import PLUGIN, SUBMISSION_PATH, SUBMISSION_PROTOCOL


@cloup.command(
    epilog=examples(
        "emsym-bench verify results/submissions/my-group --sample 3",
        "emsym-bench verify results/submissions/my-group --sample 1 --plugin my_init.py",
    )
)
@SUBMISSION_PATH
@click.option("--sample", type=click.IntRange(1), required=True, help="How many cells to run.")
@SUBMISSION_PROTOCOL
@PLUGIN
def verify(path: Path, sample: int, protocol_name: str | None, plugins: tuple[Path, ...]) -> int:
    """Run a sample of a submission's cells again, and compare.

    Which cells is decided by a digest of the submission. Code of its authors is run only where you
    give its file with --plugin: read it first.
    """
    from rich.console import Console

    from emsym.run.display import RunDisplay
    from emsym.submission.assurance import Assurance
    from emsym.submission.verify import verify_submission
    from emsym.wording import counted

    console = Console()
    with RunDisplay(console) as watch:
        verified = verify_submission(path, sample, watch, protocol_name, plugins)
    for each in verified:
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
    wrong = sum(bool(each.beyond) for each in verified)
    click.echo(
        f"{len(verified) - wrong} of {counted(len(verified), 'cell')} that "
        f"{'was run again is' if len(verified) == 1 else 'were run again are'} as claimed."
    )
    if wrong:
        level = Assurance.RECOMPUTED
        click.echo(
            f"assurance: {level}, and not {Assurance.REPRODUCED}: scores that were run again here "
            "are further from the claimed ones than the protocol allows. If it is by little, "
            "another kind of processor may be why: run on the kind that the submission's note "
            "names, or more cells, with --sample."
        )
    else:
        level = Assurance.REPRODUCED
        click.echo(f"assurance: {level}: {level.meaning}.")
    click.echo("A score that is false by less than what is allowed would pass.")
    return 1 if wrong else 0
