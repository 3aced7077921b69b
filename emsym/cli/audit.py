"""`audit`: a trained network and a volume in, a report out."""

from functools import partial
from pathlib import Path
from typing import Any

import click
import cloup

from emsym.auditing.inputs import AuditInputs
from emsym.cli.examples import examples
from emsym.cli.network_volume_options import following, network_volume_options
from emsym.cli.options import PLUGIN


@cloup.command(
    epilog=examples(
        "emsym-bench audit network.pt volume.tif --architecture unet-resnet34",
        "emsym-bench audit network.onnx volume.h5:raw --labels volume.h5:labels -o report.html",
        "emsym-bench audit weights.pt vnc:mitochondria --model network.py:build --sections 10",
    )
)
@network_volume_options(AuditInputs)
@cloup.option_group(
    "Output",
    click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("audit.html"),
        show_default=True,
        help="The report; its numbers go beside it, as .json. Never a file that exists.",
    ),
)
@cloup.option_group("Your own code", PLUGIN)
def audit(
    network: str,
    volume: str,
    output: Path,
    plugins: tuple[Path, ...],
    **options: Any,
) -> None:
    """Does a trained network treat the slices on either side alike?

    NETWORK is a state dict (.pt, .pth, .ckpt, .safetensors) with --architecture or --model; a
    TorchScript, torch.export or ONNX file; a folder of save_pretrained, a package of bioimage.io or
    a MONAI bundle; or the name of an architecture that --plugin registers and whose factory gives
    it trained. No pickled code is run; but TorchScript is a program, so trust its origin.

    VOLUME is an image file (TIFF, HDF5 as FILE:KEY, Zarr …), a folder or pattern of sections, or a
    data set of `data list` or the path of a card, of which the test split is looked at.

    Labels are foreground where they are not 0; or, where they hold more than two values and the
    network has more than two classes, where they are the number of the --channel.
    """
    from emsym.auditing.result import check_free

    written = check_free(output)
    from rich.console import Console

    from emsym.auditing.audit import audit as run_audit
    from emsym.freed_memory import keep_freed_memory
    from emsym.run.display import RunDisplay

    keep_freed_memory()
    with RunDisplay(Console(stderr=True)) as watch:
        phase = "Sections" if options["sections"] else "Sections, at most"
        progress = partial(following(watch), phase)
        report = run_audit(network, volume, progress=progress, **options)
    click.echo(report)  # first, so that a full disk does not lose what was measured
    report.write(output)
    click.echo(f"\nReport: {written[0]}\nNumbers: {written[1]}")
