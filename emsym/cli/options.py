"""Options and arguments that several commands take."""

from collections.abc import Sequence
from pathlib import Path

import click

from emsym.output_folder import DEFAULT


def load_plugins(ctx: click.Context, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Load plug-in files, each once in a command. Raises `UserError` where one fails."""
    from emsym.plugins import require_plugins

    loaded: set[Path] = ctx.meta.setdefault("emsym.plugins", set())
    require_plugins(path for path in dict.fromkeys(paths) if path not in loaded)
    loaded.update(paths)
    return tuple(paths)


def _load(ctx: click.Context, _: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return load_plugins(ctx, paths) if paths else ()


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
    default=DEFAULT,
    show_default=True,
    help="Folder of the leaderboard and, in records/, of the records.",
)

BOARDS_OF = click.option(
    "--protocol", "protocol_name", help="Only what is stored of this protocol, by its name."
)

SUBMISSION_PATH = click.argument("path", type=click.Path(file_okay=False, path_type=Path))
SUBMISSION_PROTOCOL = click.option(
    "--protocol", "protocol_name", help="TOML file of a protocol that does not ship with emsym."
)
