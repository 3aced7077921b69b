"""--plugin, which several commands take."""

from pathlib import Path

import click


def _load(_: click.Context, __: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if not paths:
        return ()
    from emsym.registry import load_plugin

    return tuple(path for path in paths if load_plugin(path))


PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_load,
    is_eager=True,
    help="A Python file that registers strategies, architectures or readers.",
)
