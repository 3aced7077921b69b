"""`audit`: a trained network and a volume in, a report out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emsym.cli.plugins import PLUGIN

if TYPE_CHECKING:
    from emsym.run.progress import Bar


@click.command()
@click.argument("network")
@click.argument("volume")
@click.option("--architecture", help="Of a state dict, such as unet-resnet34, or a plug-in's.")
@click.option("--labels", help="An image as VOLUME may be; whatever is not 0 is foreground.")
@click.option("--slices", type=int, help="How many the network reads; found out by default.")
@click.option("--channel", type=click.IntRange(0), help="Which of several classes, from 0.")
@click.option(
    "--probabilities/--logits",
    default=None,
    help="What the network gives, where that is not plain.",
)
@click.option(
    "--attribution",
    "attributions",
    multiple=True,
    help="`emsym-bench list attributions`, or slice-shapley; the first is the headline. By default "
    "saliency, input-x-gradient and slice-shapley.",
)
@click.option(
    "--target",
    type=click.Choice(["foreground", "true-foreground", "background", "all"]),
    help="The pixels that are explained; by default the labelled foreground, or the predicted.",
)
@click.option("--sections", default=20, show_default=True, help="At most, evenly spaced.")
@click.option(
    "--size", default=512, show_default=True, help="Of the middle of a section, in pixels, at most."
)
@click.option("--mean", type=float, help="That training normalised grey levels with.")
@click.option("--sd", type=float, help="That training normalised grey levels with.")
@click.option("--threshold", default=0.5, show_default=True, help="Of the probability.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("audit.html"),
    show_default=True,
    help="The report; its numbers go beside it, as .json. Never a file that exists.",
)
@PLUGIN
def audit(
    network: str,
    volume: str,
    output: Path,
    plugins: tuple[Path, ...],
    attributions: tuple[str, ...],
    **options: Any,
) -> None:
    """Does a trained network treat the slices on either side alike?

    NETWORK is a state dict (.pt, .pth, .safetensors) with --architecture, a TorchScript or
    torch.export file, or the name of an architecture that --plugin registers and whose factory
    gives it trained. No pickled code is run; but TorchScript is a program, so trust its origin.

    VOLUME is an image file (TIFF, HDF5 as FILE:KEY, Zarr …), a folder or pattern of sections, or a
    data set of `data list` or the path of a card, of which the test split is looked at.
    """
    from emsym.auditing.result import check_free

    written = check_free(output)
    from rich.console import Console

    from emsym.auditing import audit as auditing
    from emsym.run.progress import Bar

    with Bar(Console(stderr=True)) as bar:
        report = auditing.audit(
            network,
            volume,
            attributions=attributions or auditing.METHODS,
            progress=_following(bar),
            **options,
        )
    report.write(output)
    click.echo(report)
    click.echo(f"\nReport: {written[0]}\nNumbers: {written[1]}")


def _following(bar: "Bar") -> Any:
    """What tells a bar how many sections are done."""
    so_far = 0

    def progress(done: int, total: int) -> None:
        nonlocal so_far
        if done == 0:
            bar.phase("Sections", total)
        for number in range(so_far, done):
            bar.advance(f"{number + 1}")
        so_far = done

    return progress
