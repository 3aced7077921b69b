"""`weights …`: which pretrained weights a protocol needs, and where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from emsym.cli.examples import examples

if TYPE_CHECKING:
    from emsym.models.pretrained.needed_weights import NeededWeights
    from emsym.protocol import Protocol

_PROTOCOL = click.option(
    "--protocol",
    "protocol_name",
    default="micrographs",
    show_default=True,
    help="Name or TOML file.",
)
_FROM = click.option(
    "--from",
    "origin",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="A folder, in place of EMSYM_WEIGHTS_DIR.",
)


@cloup.group(
    epilog=examples(
        "emsym-bench weights list",
        "emsym-bench weights fetch --protocol micrographs",
    )
)
def weights() -> None:
    """See which weights a protocol's encoders get, and fetch them.

    EMSYM_WEIGHTS_DIR names a folder with a file for each encoder, such as
    mobilenetv2_100.safetensors, which is looked into before weights 'imagenet' are fetched.
    """


@weights.command(
    "list",
    epilog=examples(
        "emsym-bench weights list",
        "emsym-bench weights list --protocol strategies",
    ),
)
@_PROTOCOL
@_FROM
def list_weights(protocol_name: str, origin: Path | None) -> None:
    """Each encoder, and the file that it would get or why there is none."""
    from emsym.errors import UserError

    for each in _needed(protocol_name, origin):
        try:
            file = each.file()
            text = f"{file}  {each.chosen.identity[:19]}" if file else "made on the spot"
        except UserError as error:
            text = f"not here: {error}"
        click.echo(f"{each.encoder}  {text}")


@weights.command(
    epilog=examples(
        "emsym-bench weights path",
        "emsym-bench weights path --protocol micrographs",
    )
)
@_PROTOCOL
@_FROM
def path(protocol_name: str, origin: Path | None) -> None:
    """The files, one a line."""
    for each in _needed(protocol_name, origin):
        if (file := each.file()) is not None:
            click.echo(file)


@weights.command(
    epilog=examples(
        "emsym-bench weights verify",
        "emsym-bench weights verify --protocol micrographs --from weights",
    )
)
@_PROTOCOL
@_FROM
def verify(protocol_name: str, origin: Path | None) -> None:
    """Load each file: are all tensors there, of their shapes, finite?"""
    _verify(_needed(protocol_name, origin))


@weights.command(
    epilog=examples(
        "emsym-bench weights fetch",
        "emsym-bench weights fetch --protocol micrographs --from downloads",
    )
)
@_PROTOCOL
@click.option(
    "--from",
    "origin",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="A folder that has the files, in place of the hub.",
)
def fetch(protocol_name: str, origin: Path | None) -> None:
    """Fill EMSYM_WEIGHTS_DIR from the hub, or a folder; verify it."""
    from emsym.errors import UserError
    from emsym.models.architectures import encoder_name
    from emsym.models.pretrained.hub import WEIGHTS_DIR
    from emsym.models.pretrained.needed_weights import put_encoder_file

    protocol = _protocol(protocol_name)
    folder = os.environ.get(WEIGHTS_DIR)
    if not folder:
        raise UserError(f"Set {WEIGHTS_DIR} to the folder that is to be filled.")
    place = Path(folder).expanduser()
    before = {*place.iterdir()} if place.is_dir() else set()
    for encoder in dict.fromkeys(map(encoder_name, protocol.architectures)):
        put_encoder_file(encoder, protocol.weights, place, origin)
    try:
        _verify(_needed(protocol_name, None))
    except UserError as error:
        # what does not fit is not left where a run would find it
        for each in _needed(protocol_name, None):
            file = each.chosen.file
            if file is not None and file not in {path.resolve() for path in before}:
                _remove_unless_it_fits(each, file)
        raise UserError(f"{error} Files that do not fit were not kept.") from error


def _remove_unless_it_fits(needed: NeededWeights, file: Path) -> None:
    from emsym.errors import UserError

    try:
        needed.load()
    except UserError:
        file.unlink()


def _protocol(name: str) -> Protocol:
    """Return a protocol whose weights may come from a folder that is named beside it."""
    from emsym.errors import UserError
    from emsym.models.pretrained.hub import IMAGENET
    from emsym.protocol import load_protocol

    protocol = load_protocol(name)
    if protocol.weights != IMAGENET:
        raise UserError(
            f"The protocol '{protocol.name}' says itself where its weights are, "
            f"'{protocol.weights}': a folder is for the weights '{IMAGENET}'."
        )
    return protocol


def _needed(name: str, folder: Path | None) -> list[NeededWeights]:
    from emsym.models.pretrained.needed_weights import needed_weights
    from emsym.protocol import load_protocol

    protocol = load_protocol(name) if folder is None else _protocol(name)
    given = folder and folder.resolve()
    return needed_weights(protocol.weights, protocol.folder, protocol.architectures, given)


def _verify(needed: list[NeededWeights]) -> None:
    for each in needed:
        if (file := each.file()) is None:
            click.echo(f"{each.encoder}  made on the spot")
            continue
        loaded = each.load()
        click.echo(f"{each.encoder}  fits  {file}  tensors {loaded.digest[:19]}")
