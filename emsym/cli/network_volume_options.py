"""NETWORK, VOLUME and how they are read: the arguments and options of `audit` and `sanity`."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field
from types import UnionType
from typing import TYPE_CHECKING, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

import click

from emsym.auditing.inputs import NetworkOnVolume, described_fields

if TYPE_CHECKING:
    from emsym.run.display import RunDisplay

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS = {
    "probabilities": "--probabilities/--logits",
    "factory": "--model",
}
"""Options that are not called as their fields are."""
_TYPES = {"channel": click.IntRange(0), "size": click.IntRange(32)}
"""The types of options that not every value of a field's type is right for."""


def network_volume_options(inputs: type[NetworkOnVolume]) -> Callable[[Command], Command]:
    """Decorate a command with an option for each described field; `inputs` has their defaults."""
    parameters = [click.argument("network"), click.argument("volume")]
    parameters += [
        _option(field, kind, text)
        for field, kind, text in described_fields(inputs)
        if field.default is not MISSING
    ]

    def decorate(command: Command) -> Command:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return decorate


def _option(field: Field[Any], kind: Any, text: str) -> Callable[[Command], Command]:
    """Return the option of a field by its type; that of a network or volume is its path."""
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]  # beside None
    several = get_origin(kind) is Sequence
    if get_origin(kind) is tuple:
        kind = get_args(kind)  # as many values follow the option
    if get_origin(kind) is Literal:
        kind = click.Choice(get_args(kind))
    elif several or isinstance(kind, ForwardRef):
        kind = str
    return click.option(
        _FLAGS.get(field.name, f"--{field.name.replace('_', '-')}"),
        field.name,
        type=_TYPES.get(field.name, kind),
        is_flag=kind is bool,
        default=field.default,
        multiple=several,
        show_default=field.default is not None and not several,
        help=text,
    )


def following(watch: "RunDisplay") -> Callable[[str, int, int], None]:
    """Return a function that shows how much of a phase is done; each phase begins with 0."""
    so_far = 0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal so_far
        if done == 0:
            watch.phase(phase, [1.0] * total)
        for number in range(so_far, done):
            watch.advance(f"{number + 1}", 1.0)
        so_far = done

    return progress
