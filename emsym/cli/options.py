"""Options and arguments that several commands take."""

from collections.abc import Sequence
from pathlib import Path

import click


def load_plugins(ctx: click.Context, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Load plug-in files, each once in a command; return those that could be loaded."""
    from emsym.plugins import load_plugin

    outcomes: dict[Path, bool] = ctx.meta.setdefault("emsym.plugins", {})
    for path in paths:
        if path not in outcomes:
            outcomes[path] = load_plugin(path)
    return tuple(path for path in paths if outcomes[path])


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
    default=Path("results"),
    show_default=True,
    help="Folder of the leaderboard and, in records/, of the records.",
)

SUBMISSION_PATH = click.argument("path", type=click.Path(file_okay=False, path_type=Path))
SUBMISSION_PROTOCOL = click.option(
    "--protocol", "protocol_name", help="TOML file of a protocol that does not ship with emsym."
)
