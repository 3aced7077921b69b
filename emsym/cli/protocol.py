"""`protocol …`: a protocol for one's own question is written."""

import shlex
from pathlib import Path
from typing import Any

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import PLUGIN


@cloup.group(
    epilog=examples(
        "emsym-bench protocol new mine --dataset my-volume.toml --architecture unet-resnet34",
        "emsym-bench protocol new --help",
    )
)
def protocol() -> None:
    """Write a protocol: which cells are run, how, and what is scored."""


@protocol.command(
    epilog=examples(
        "emsym-bench protocol new mine --dataset my-volume.toml --architecture unet-resnet34",
        "emsym-bench protocol new five --slices 5 --init rgb --init uniform-green --seeds 5",
    ),
)
@click.argument("name")
@cloup.option_group(
    "Which cells",
    click.option("--dataset", "datasets", multiple=True, help="A name or the path of a card."),
    click.option("--architecture", "architectures", multiple=True, help="A network."),
    click.option("--init", "inits", multiple=True, help="A strategy."),
    click.option("--seeds", type=click.IntRange(1), help="How many: 3 are 0, 1 and 2."),
)
@cloup.option_group(
    "How they are trained",
    click.option("--weights", help="pretext, imagenet, a name of timm's, a file or a folder."),
    click.option("--slices", type=click.IntRange(1), help="Of a stack: an odd number."),
    click.option("--steps", type=click.IntRange(1), help="Of training."),
)
@cloup.option_group(
    "Output",
    click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file; NAME.toml by default. Never one that exists.",
    ),
)
@cloup.option_group("Your own code", PLUGIN)
def new(name: str, output: Path | None, plugins: tuple[Path, ...], **given: Any) -> None:
    """Write a protocol, in which comments say why defaults are so.

    Every value that decides a number stands in the file. It is checked as `plan` checks it, and
    nothing is written where it is wrong.
    """
    from emsym.new_protocol import write_protocol
    from emsym.wording import counted

    path = output or Path(f"{name}.toml")
    written = write_protocol(path, name, **given)
    cells = counted(len(written.cells()), "cell")
    click.echo(f"Wrote {path}: {cells}. Look at what is a default, and why.")
    with_plugins = "".join(f" --plugin {shlex.quote(str(plugin))}" for plugin in plugins)
    click.echo(f"Then: emsym-bench plan --protocol {shlex.quote(str(path))}{with_plugins}")
