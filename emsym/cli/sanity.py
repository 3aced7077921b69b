"""`sanity`: do attribution methods explain a network, or only draw the image?"""

from pathlib import Path
from typing import Any

import click

from emsym.auditing.inputs import SanityInputs
from emsym.cli.network_volume_options import following, network_volume_options
from emsym.cli.options import PLUGIN


@click.command()
@network_volume_options(SanityInputs)
@PLUGIN
def sanity(
    network: str,
    volume: str,
    plugins: tuple[Path, ...],
    **options: Any,
) -> None:
    """Do attribution methods explain a network, or only draw the image?

    The model-randomisation test of Adebayo et al. 2018: the weights of NETWORK are made random,
    stage by stage from the output to the input. Maps that stay as they were do not come from what
    it has learned.

    NETWORK and VOLUME are as of `audit`.
    """
    from rich.console import Console

    from emsym.auditing.randomisation import sanity as check_sanity
    from emsym.run.display import RunDisplay

    with RunDisplay(Console(stderr=True)) as watch:
        report = check_sanity(network, volume, progress=following(watch), **options)
    click.echo(report)
