"""`sanity`: do attribution methods explain a network, and do they treat its slices alike?"""

from pathlib import Path
from typing import Any

import click
import cloup

from emsym.auditing.inputs import SanityInputs
from emsym.cli.examples import examples
from emsym.cli.network_volume_options import following, network_volume_options
from emsym.cli.options import PLUGIN


@cloup.command(
    epilog=examples(
        "emsym-bench sanity network.pt volume.tif --architecture unet-resnet34",
        "emsym-bench sanity network.pt isbi2012 --model network.py:build --attribution saliency",
    )
)
@network_volume_options(SanityInputs)
@cloup.option_group("Your own code", PLUGIN)
def sanity(
    network: str,
    volume: str,
    plugins: tuple[Path, ...],
    **options: Any,
) -> None:
    """Do attributions explain a network, or only draw the image?

    The model-randomisation test of Adebayo et al. 2018: the weights of NETWORK are made random,
    stage by stage from the output to the input, and wholly five times. Maps that stay as they
    were, and are as alike as those of two random networks, do not come from what it has learned.

    And do methods treat the slices on either side alike? NETWORK is made exactly mirror-symmetric,
    so that a map that reversing the stack does not reverse is the method's own fault (explanation
    equivariance, Crabbé and van der Schaar 2023).

    Each method makes about 15 maps of each section.

    NETWORK and VOLUME are as of `audit`.
    """
    from rich.console import Console

    from emsym.auditing.randomisation import sanity as check_sanity
    from emsym.run.display import RunDisplay

    with RunDisplay(Console(stderr=True)) as watch:
        report = check_sanity(network, volume, progress=following(watch), **options)
    click.echo(report)
