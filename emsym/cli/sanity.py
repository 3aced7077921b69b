"""`sanity`: do attribution methods explain a network, or only draw the image?"""

from pathlib import Path
from typing import Any

import click

from emsym.cli.network_volume_options import following, subject
from emsym.cli.options import PLUGIN


@click.command()
@subject(sections=4, size=256)
@click.option(
    "--attribution",
    "attributions",
    multiple=True,
    help="`emsym-bench list attributions`; by default all but patch-occlusion, which takes by far "
    "the longest.",
)
@PLUGIN
def sanity(
    network: str,
    volume: str,
    plugins: tuple[Path, ...],
    attributions: tuple[str, ...],
    **options: Any,
) -> None:
    """Do attribution methods explain a network, or only draw the image?

    The model-randomisation test of Adebayo et al. 2018: the weights of NETWORK are made random,
    stage by stage from the output to the input. Maps that stay as they were do not come from what
    it has learned.

    NETWORK and VOLUME are as of `audit`.
    """
    from rich.console import Console

    from emsym.auditing.randomisation import sanity as check
    from emsym.run.display import RunDisplay

    with RunDisplay(Console(stderr=True)) as watch:
        found = check(
            network, volume, attributions=attributions, progress=following(watch), **options
        )
    click.echo(found)
