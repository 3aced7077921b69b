"""`--json`: what a command has found as one JSON document, for a program to read."""

from typing import Any

import click

JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document, and nothing else to standard output.",
)


def print_json(document: Any) -> None:
    """Print dataclasses, dictionaries, lists, paths and numbers as JSON, in UTF-8.

    A value that is missing, NaN too, is null. Keys are those of the dictionaries and dataclasses,
    in their order.
    """
    from pydantic_core import to_json

    # in bytes: a terminal's own encoding may lack a letter, and JSON has one encoding
    click.echo(to_json(document, indent=2, inf_nan_mode="null"))
