"""`submit`: the cells of a run are packed for the leaderboard."""

import re
from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.output_folder import OutputFolder

SUBMISSIONS = OutputFolder(Path("results")).submissions


@cloup.command(
    epilog=examples(
        "emsym-bench submit --name my-group",
        "emsym-bench submit --name my-group --protocol micrographs --plugin my_init.py",
    )
)
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
    """Pack the finished cells of a protocol for the leaderboard.

    Of a protocol that varies something each variant becomes a submission, NAME-VARIANT.
    """
    from emsym.protocol import load_protocol, ships
    from emsym.submission.layout import SHEET, check_name
    from emsym.submission.pack import pack

    protocol = load_protocol(protocol_name)
    more = "" if ships(protocol_name) else f" --protocol {protocol_name}"
    for variant in protocol.variants():
        suffix = re.sub(r"[^a-z0-9]+", "-", f"-{variant.name.lower()}") if protocol.vary else ""
        folder = SUBMISSIONS / check_name(f"{name}{suffix}")
        again = (folder / SHEET).is_file()
        pack(store, variant, folder, plugins)
        click.echo(
            f"Packed {folder}. {'See that' if again else 'Fill in'} {folder / SHEET}"
            f"{' is still right' if again else ''}, then: emsym-bench validate {folder}{more}"
        )
