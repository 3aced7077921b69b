"""Options and arguments that several commands take."""

from pathlib import Path

import click


def _load(_: click.Context, __: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if not paths:
        return ()
    from emsym.plugins import load_plugin

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


OUTPUT = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the leaderboard and, in records/, of the records.",
)

SUBMISSION_PATH = click.argument("path", type=click.Path(file_okay=False, path_type=Path))
SUBMISSION_PROTOCOL = click.option(
    "--protocol", "protocol_name", help="TOML file of a protocol that does not ship with emsym."
)
