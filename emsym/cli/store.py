"""`store`: a folder of records, checked, put together and tidied up."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT, PLUGIN
from emsym.errors import UserError


@cloup.group(
    epilog=examples(
        "emsym-bench store check",
        "emsym-bench store merge other-results",
        "emsym-bench store gc --dry-run",
    )
)
def store() -> None:
    """Look after a folder of records: check, merge, gc."""


@store.command(
    epilog=examples(
        "emsym-bench store check",
        "emsym-bench store check --output results",
    )
)
@OUTPUT
def check(output: Path) -> int:
    """Read every record, and set aside what is damaged.

    Then `run` runs its cell again. Damaged is also what says of itself that it is of another cell
    than its key.

    Exit code 1 says that some were.
    """
    from rich.console import Console
    from rich.progress import Progress

    from emsym.run.store.maintenance import check_store
    from emsym.run.store.store import Store

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading records")
        checked = check_store(
            Store(existing_records(output)),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    for cell, reason in checked.reasons.items():
        click.echo(f"failed: {cell}: {reason}")
    click.echo(f"{checked.done} done, {checked.failed} failed, {len(checked.damaged)} damaged.")
    return 1 if checked.damaged else 0


@store.command(
    epilog=examples(
        "emsym-bench store merge other-results",
        "emsym-bench store merge node-1 node-2 --output results",
    )
)
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path))
@OUTPUT
def merge(others: tuple[Path, ...], output: Path) -> int:
    """Copy the records of other output folders into one.

    OTHERS are the folders of other runs; the one is that of --output. What it has is kept. Exit
    code 1 says that some records are there with other numbers.
    """
    from emsym.output_folder import OutputFolder
    from emsym.run.store.maintenance import merge_stores
    from emsym.run.store.store import Store

    sources = [Store(existing_records(other)) for other in others]
    merged = merge_stores(Store(OutputFolder(output).records), sources)
    click.echo(f"{merged.taken} taken, {merged.had} were there already.")
    for key in merged.differing:
        click.echo(f"{key} has other numbers there than here, and is kept as it is here.", err=True)
    return 1 if merged.differing else 0


@store.command(
    epilog=examples(
        "emsym-bench store gc --dry-run",
        "emsym-bench store gc --protocol quick --dry-run",
    )
)
@click.option("--protocol", "protocols", multiple=True, help="Keep the records of these alone.")
@click.option("--yes", is_flag=True, help="With --protocol: remove other protocols' records.")
@click.option("--dry-run", is_flag=True, help="Remove nothing: say what would be.")
@PLUGIN
@OUTPUT
def gc(
    protocols: tuple[str, ...], yes: bool, dry_run: bool, plugins: tuple[Path, ...], output: Path
) -> None:
    """Remove what runs that died left behind, and damaged records.

    Damaged are those that were set aside. With --protocol, which may be given several times, also
    every record of a cell that none of the protocols has any more.
    """
    from emsym.protocol import load_protocol
    from emsym.run.job import jobs
    from emsym.run.store.maintenance import leftovers
    from emsym.run.store.store import Store
    from emsym.wording import counted

    keys = None
    if protocols and not (yes or dry_run):
        raise UserError(
            "With --protocol, gc removes every record that is of no cell of these protocols: look "
            "with --dry-run what that is, then say --yes."
        )
    if protocols:
        keys = {job.key for name in protocols for job in jobs(load_protocol(name))}
    files = leftovers(Store(existing_records(output)), keys)
    size = 0
    for path in files:
        size += path.stat().st_size
        click.echo(f"{'would remove' if dry_run else 'removed'} {path}")
        if not dry_run:
            path.unlink(missing_ok=True)
    click.echo(f"{counted(len(files), 'file')}, {size / 1e6:.1f} MB.")


def existing_records(output: Path) -> Path:
    """Return the folder of the records of an output folder; raise `UserError` for want of one."""
    from emsym.output_folder import OutputFolder

    folder = OutputFolder(output).records
    if not folder.is_dir():
        raise UserError(f"There is no store at {folder}: name its output folder.")
    return folder
