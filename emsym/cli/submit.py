"""`submit`: the cells of a run are packed for the leaderboard."""

import re
from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import OUTPUT
from emsym.output_folder import COMMITTED, OutputFolder

SUBMISSIONS = OutputFolder(COMMITTED).submissions


@cloup.command(
    epilog=examples(
        "emsym-bench submit --name my-group",
        "emsym-bench submit --name my-group --protocol micrographs --plugin my_init.py",
    )
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
@OUTPUT
def submit(name: str, protocol_name: str, plugins: tuple[Path, ...], output: Path) -> None:
    """Pack the finished cells of a protocol for the leaderboard.

    They go into results/submissions/NAME. Of a protocol that varies something each variant becomes
    a submission, NAME-VARIANT. What to commit, and how, is printed.
    """
    from emsym.protocol import load_protocol, ships
    from emsym.submission.layout import SHEET, check_name
    from emsym.submission.pack import pack

    protocol = load_protocol(protocol_name)
    more = "" if ships(protocol_name) else f" --protocol {protocol_name}"
    folders = []
    for variant in protocol.variants():
        suffix = re.sub(r"[^a-z0-9]+", "-", f"-{variant.name.lower()}") if protocol.vary else ""
        folder = SUBMISSIONS / check_name(f"{name}{suffix}")
        again = (folder / SHEET).is_file()
        pack(output, variant, folder, plugins)
        click.echo(
            f"Packed {folder}. {'See that' if again else 'Fill in'} {folder / SHEET}"
            f"{' is still right' if again else ''}, then: emsym-bench validate {folder}{more}"
        )
        folders.append(folder)
    click.echo("\n".join(["", *_how_to_open(name, folders, bool(more))]))


def _how_to_open(name: str, folders: list[Path], needs_protocol: bool) -> list[str]:
    """Return the lines on what to commit and how to open a pull request with it."""
    names = " ".join(folder.as_posix() for folder in folders)
    several = len(folders) > 1
    lines = [
        f"When {'they are' if several else 'it is'} sound, commit {'them' if several else 'it'} "
        "and nothing else, in a clone of your fork of emsym:",
        "",
        f"  git switch --create submit-{name}",
        f"  git add {names}",
        f'  git commit --message "Submit {name}"',
        f"  git push --set-upstream origin submit-{name}",
        "",
        "Then open a pull request from that branch to main, on the page of your fork, or with "
        "`gh pr create`. Its checks run `validate`, nothing of yours, and show the leaderboard "
        "with and without it.",
    ]
    if needs_protocol:
        lines.append(
            "Its protocol does not ship with emsym, and without it these checks refuse the "
            "results: propose the protocol first, in an issue."
        )
    return lines
