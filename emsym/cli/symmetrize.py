"""`symmetrize`: repairing a checkpoint."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import PLUGIN

_FILE = click.Path(dir_okay=False, path_type=Path)


@cloup.command(
    epilog=examples(
        "emsym-bench symmetrize network.pt --init uniform-green --dry-run",
        "emsym-bench symmetrize network.pt --init mirror -o new.pt --architecture unet-resnet34",
    )
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@cloup.option_group(
    "What is changed",
    click.option(
        "--init", required=True, help="A strategy: uniform-green, say, or rgb+mirror-tied."
    ),
    click.option(
        "--slices", type=int, help="How many slices the network shall read; as many as now."
    ),
)
@cloup.option_group(
    "Which network",
    click.option(
        "--architecture",
        help="Whose weights these are, such as unet-resnet34: to find the stem by running the "
        "network, not by the shape of its weights.",
    ),
    click.option(
        "--model",
        "factory",
        help="FILE.py:NAME, a function of yours without arguments that returns the network that "
        "the weights belong to; it is run.",
    ),
)
@cloup.option_group(
    "Output",
    click.option("-o", "--output", type=_FILE, help="The file to write; never one that exists."),
    click.option("--dry-run", is_flag=True, help="Say what would be changed, and write nothing."),
)
@cloup.option_group("Your own code", PLUGIN)
def symmetrize(
    checkpoint: Path,
    init: str,
    output: Path | None,
    architecture: str | None,
    factory: str | None,
    slices: int | None,
    dry_run: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Fill the stem of a trained network anew.

    CHECKPOINT is a .safetensors file or a state dict saved by torch.save, alone or in a checkpoint,
    or a folder of save_pretrained. All of it but the stem's weights is kept as it is, other copies
    of the weights too. Of a pickled network, and of a file with other objects, a state dict is
    written.
    """
    from emsym.errors import UserError
    from emsym.models.interventions.shipped import MIRROR_TIED
    from emsym.models.stem.repair_checkpoint import symmetrize_checkpoint

    if (output is None) != dry_run:
        raise UserError("Say either where to write, with -o FILE, or --dry-run to write nothing.")
    changes = symmetrize_checkpoint(checkpoint, init, output, architecture, slices, factory)
    click.echo(changes)
    if not changes.followed:
        click.echo(
            "The stem was told by its shape alone; --architecture or --model finds it by running."
        )
    if MIRROR_TIED in init:
        click.echo("A file cannot keep both sides tied: when you train on, tie the network again.")
    click.echo("Nothing was written." if output is None else f"Written: {output}")
